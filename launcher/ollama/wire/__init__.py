"""The server's answers as types, one to one with the wire (api/types.go, 0.33).

Every member may be missing, null or unknown: servers of all ages answer, and none of that is a reason to fail. Frozen;
parsed once at the edge. Nothing here is ever published: services turn it into values of ``domain``. Import from the
modules: who lists models need not load what a chat is made of.
"""
