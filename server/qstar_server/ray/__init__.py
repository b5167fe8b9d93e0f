"""Replicas of the server on the machines of a Ray cluster: `serve run qstar_server.ray:app`.

Needs the extra `ray`. Nothing else of the server imports Ray.
"""

from qstar_server.ray.application import app as app
