"""What both kinds let a user say about their pods: an allow-list, never a free pod template.

A resource never lets its author do what they could not do themselves: no service account, no host namespaces, no
volumes but the ones the kinds mount, no Secrets but those of its namespace, by name.
"""
