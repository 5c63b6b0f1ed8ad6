"""A real Kubernetes on a developer's machine, without a container engine.

Command line (repository root, Python 3.11 and pyyaml)::

    python -m examples.local_cluster up | down | status | images | build | kubeconfig | env

For tests of the API level (etcd, API server, controllers, scheduler, fake nodes; no root, about ten seconds)::

    from examples.local_cluster import control_plane

    cluster = control_plane.start(home, parts=control_plane.ALL)    # or a subset; etcd and apiserver always run
    cluster.kubeconfig, cluster.url, cluster.ca                     # admin kubeconfig, https://…, CA certificate
    cluster.admin_certificate, cluster.admin_key                    # PEM files of the administrator
    cluster.audit_log                                               # JSON lines, level Metadata
    cluster.api                                                     # a small synchronous client (examples.local_cluster.api.Api)
    cluster.service_account_kubeconfig("namespace", "name", path)   # a kubeconfig with a freshly issued token
    cluster.add_fake_nodes(8)                                       # KWOK nodes, nvidia.com/gpu: 8 each
    cluster.pause("apiserver"); cluster.resume("apiserver")         # SIGSTOP, SIGCONT
    cluster.kill("etcd"); cluster.restart("etcd")                   # SIGKILL; the same command line again
    control_plane.stop(home)

Every cluster lives in one home folder, so several control planes run beside each other; only one of them can own the
real node, because its bridge and addresses are the machine's.
"""
