"""`qstar serve --ray`: the front in this process, its replicas in a Ray cluster."""

import contextlib
import logging
import re
import secrets
import signal
import socket
import threading
from collections.abc import Iterator

import ray
from ray import serve
from ray.serve import Application, RunTarget
from ray.serve.schema import ApplicationStatus

from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import ConfigError, EngineDeadError
from qstar_server.process.lifecycle import Announce, DrainingServer, check_exposure
from qstar_server.process.listener import bind_sockets
from qstar_server.ray import live
from qstar_server.ray.application import replicas_application, share_of_each
from qstar_server.ray.cluster import QUIET, ray_cluster
from qstar_server.replicas.front import Front
from qstar_server.settings.config import ServerConfig
from qstar_server.watching.sparse_log import SparseFilter

logger = logging.getLogger(__name__)

_PERIOD_S = 1.0
_MAX_MISSES = 5
"""So many failed questions in a row mean that the cluster has gone."""
_OUR_ERROR = re.compile(r"qstar_infer\.errors\.\w+: (.+)")


def run_on_ray(
    engine_args: EngineArgs, config: ServerConfig, *, announce: Announce
) -> Exception | None:
    """Serve through replicas until a signal arrives, or until none can be started.

    Returns:
        None after a signal; otherwise the error that stopped the server.

    Raises:
        ConfigError: as `run_server`; or there is no cluster, or one of our own is too small.
    """
    check_exposure(config)
    sockets = bind_sockets(config.host, config.port)
    logging.getLogger("qstar_server.connections").addFilter(SparseFilter())
    secret = secrets.token_hex(32)
    front = Front(live.table, config, secret=secret)
    server = DrainingServer(front.app, front, config, announce=announce)

    def stop(*_: object) -> None:
        server.should_exit = True

    with ray_cluster(config.ray_address):
        signal.signal(signal.SIGTERM, stop)  # Ray's own would end the process at once
        _check_room(engine_args, config)
        application = replicas_application(engine_args, config, secret=secret)
        # Not the same for two fronts on a cluster, and the same again after a restart of one.
        name = f"qstar-{socket.gethostname()}-{sockets[0].getsockname()[1]}"
        with _deployed(application, front, name=name), contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=sockets)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
    return server.failure


def _check_room(engine_args: EngineArgs, config: ServerConfig) -> None:
    if config.ray_address is not None:
        return  # a cluster may grow
    resources = ray.cluster_resources()
    num_cpus, num_gpus = share_of_each(engine_args, resources, config.ray_most_replicas)
    for name, share in (("GPU", num_gpus), ("CPU", num_cpus)):
        needed, found = share * config.ray_min_replicas, int(resources.get(name, 0))
        if needed > found:
            raise ConfigError(
                f"{config.ray_min_replicas} replicas need {needed} {name}s, and this machine has "
                f"{found}; lower --ray-min-replicas or --threads, or give --ray-address"
            )


@contextlib.contextmanager
def _deployed(application: Application, front: Front, *, name: str) -> Iterator[None]:
    """Start the replicas and watch them, inside of the block."""
    is_over = threading.Event()
    if name in serve.status().applications:
        logger.info("ending the replicas of a front that was killed")
        serve.delete(name)
    target = RunTarget(application, name=name, route_prefix=None, logging_config=QUIET)
    (handle,) = serve.run_many([target], wait_for_applications_running=False)
    handle.is_ready.remote()  # from here on, Ray Serve tells this process of the replicas
    watch = threading.Thread(
        target=_watch, args=[front, name, is_over], name="watch-ray", daemon=True
    )
    watch.start()
    try:
        yield
    finally:
        is_over.set()
        watch.join()
        with contextlib.suppress(Exception):  # the cluster may have gone
            handle.shutdown()
            serve.delete(name)


def _watch(front: Front, name: str, is_over: threading.Event) -> None:
    num_misses = 0
    while not is_over.wait(_PERIOD_S):
        try:
            status = serve.status().applications[name]
        except Exception as error:
            num_misses += 1
            logger.warning("Ray Serve did not answer: %s", error)
            if num_misses == _MAX_MISSES:
                front.give_up()
                return
            continue
        num_misses = 0
        if status.status == ApplicationStatus.DEPLOY_FAILED:
            told = [status.message, *(each.message for each in status.deployments.values())]
            front.fail(_reason("\n".join(told)))
            return


def _reason(message: str) -> Exception:
    """Why replicas could not be started, from the tracebacks that Ray Serve shows."""
    ours = _OUR_ERROR.findall(message)
    if ours:
        return ConfigError(ours[-1].strip())
    logger.error("no replica could be started: %s", message)
    return EngineDeadError("no replica could be started; see the log above")
