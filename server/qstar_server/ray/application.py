"""The application for Ray Serve: replicas, and a front that runs as one of its deployments."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import ray
from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy, RequestRouterConfig
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import ConfigError
from qstar_server.ray import live
from qstar_server.ray.engine_replica import EngineReplica
from qstar_server.ray.queue_policy import QueuePolicy
from qstar_server.ray.replica_list import ReplicaListRouter
from qstar_server.replicas.front import Front
from qstar_server.settings.config import ServerConfig
from qstar_server.settings.settings import resolve

_HEALTH_PERIOD_S = 2.0
_REPORT_INTERVAL = {"RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1"}
"""By default replicas say how long their queues are every 10 seconds."""
_LOOK_BACK_S = 11.0
"""The queues count with their mean length over this time. Ray Serve wants more than 10 seconds."""
_LAST_WORDS_S = 10.0


def replicas_application(
    engine_args: EngineArgs, config: ServerConfig, *, secret: str
) -> Application:
    """The deployment of the replicas. Ray must be running.

    Each replica has a GPU of its own, if the cluster has any and `device` is not `cpu`. Otherwise
    the CPUs of the cluster are divided among the most replicas that there can be.

    Args:
        secret: between front and replicas.
    """
    least, most = config.ray_min_replicas, config.ray_most_replicas
    num_cpus, num_gpus = share_of_each(engine_args, ray.cluster_resources(), most)
    policy = AutoscalingPolicy(
        policy_function=QueuePolicy, policy_kwargs={"room": engine_args.engine.max_num_seqs}
    )
    deployment = serve.deployment(EngineReplica).options(
        name="replicas",
        ray_actor_options={
            "num_cpus": num_cpus,
            "num_gpus": num_gpus,
            "runtime_env": {"env_vars": _REPORT_INTERVAL},
        },
        autoscaling_config=AutoscalingConfig(
            min_replicas=least,
            max_replicas=most,
            look_back_period_s=_LOOK_BACK_S,
            upscale_delay_s=config.ray_upscale_delay_s,
            downscale_delay_s=config.ray_downscale_delay_s,
            policy=policy,
        ),
        health_check_period_s=_HEALTH_PERIOD_S,
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=(
            config.request_timeout_s + config.shutdown_grace_s + _LAST_WORDS_S
        ),
        max_constructor_retry_count=1,
        request_router_config=RequestRouterConfig(request_router_class=ReplicaListRouter),
    )
    bound: Application = deployment.bind(replace(engine_args, threads=num_cpus), config, secret)
    return bound


def app(arguments: dict[str, str]) -> Application:
    """What `serve run qstar_server.ray:app` runs. Settings come from `QSTAR_` variables.

    The front is a deployment of Ray Serve, behind Ray's own proxy.

    Raises:
        ConfigError: a setting is wrong, or there are arguments.
    """
    if arguments:
        raise ConfigError(
            f"qstar_server.ray:app takes no arguments, got {', '.join(arguments)}; set the "
            "variables QSTAR_MODEL and so on instead"
        )
    engine_args, config = resolve({}, os.environ)
    if not ray.is_initialized():  # `serve run` connects only afterwards
        ray.init(address=config.ray_address)
    secret = secrets.token_hex(32)

    def create_front() -> ASGIApp:
        return Front(live.table, config, secret=secret).app

    class Gateway:
        """Has a handle to the replicas, so that Ray Serve tells this process of them."""

        def __init__(self, replicas: DeploymentHandle[Any]) -> None:
            self._replicas = replicas
            replicas.is_ready.remote()

    deployment = serve.deployment(serve.ingress(create_front)(Gateway)).options(
        name="gateway",
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=config.max_connections,
    )
    bound: Application = deployment.bind(replicas_application(engine_args, config, secret=secret))
    return bound


def share_of_each(
    engine_args: EngineArgs, resources: Mapping[str, float], num_replicas: int
) -> tuple[int, int]:
    """CPUs and GPUs of each replica.

    Args:
        resources: of the whole cluster, by the names of Ray.
        num_replicas: the most that there can be.
    """
    num_gpus = int(resources.get("GPU", 0)) if engine_args.device != "cpu" else 0
    if num_gpus:
        return engine_args.threads or 1, 1
    return engine_args.threads or max(1, int(resources.get("CPU", 1)) // num_replicas), 0
