"""The replicas that Ray Serve has told this process of.

A module of its own, because Ray pickles the router by value, with the module that it is in: a table
there would be another one in the router.
"""

from qstar_server.replicas.replica_table import ReplicaTable

table = ReplicaTable()
