"""What a model folder must hold before a library reads it: a look of milliseconds at names, sizes and headers.

A folder in Hugging Face form arrives by downloads, copies and mounts, each of which has its own way to leave something
else behind: pointers in place of files, a server's page, half a file, links that lead out of the mount, an index of
another download. Libraries answer these with whatever they stumble over, some after minutes, some by random weights.
Here each is named with the file and what to do. Nothing of torch is imported; the tensors themselves are read later.
"""
