"""What `serve run qstar_server.ray:app` does, on a port that a test chooses.

Run as `python -m tests.server.ray.run_with_serve PORT`. Says that it is ready, and ends with its
standard input.
"""

import os
import sys

from qstar_server.process.ray_environment import prepare_ray


def main() -> None:
    prepare_ray(None, os.environ)
    # Ray reads the environment when it is imported.
    import ray
    from qstar_server.ray import app
    from ray import serve

    # Not a cluster that someone else has started on this machine, as `serve run` would take.
    ray.init(address="local")
    application = app({})
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(application)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    serve.shutdown()


if __name__ == "__main__":
    main()
