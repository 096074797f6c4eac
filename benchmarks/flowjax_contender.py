"""flowjax's flows as contenders of `benchmarks/flows.py`; needs `pip install flowjax`.

They are trained as the others are, one thread, the same batches, optimiser, schedule and clipping.
What XLA needs to compile them is not counted.
"""

import os
import time
from collections.abc import Callable

os.environ["XLA_FLAGS"] = (
    "--xla_cpu_multi_thread_eigen=false --xla_force_host_platform_device_count=1"
)

import equinox
import flowjax
import jax
import numpy
import optax
import torch
from flowjax.bijections import RationalQuadraticSpline
from flowjax.distributions import Normal
from flowjax.flows import coupling_flow, masked_autoregressive_flow
from jax import numpy as jnp
from paramax import non_trainable, unwrap
from torch import Tensor, nn

VERSION = flowjax.__version__
MAKERS = {"coupling": coupling_flow, "autoregressive": masked_autoregressive_flow}
INTERVAL, DEPTH, CLIP = 5.0, 2, 1.0  # of the splines; hidden layers as in the others


class FlowjaxFlow(nn.Module):
    """A flow of splines over whitened latents."""

    def __init__(self, size: int, *, kind: str, layers: int, width: int, knots: int = 8) -> None:
        super().__init__()
        self.flow = MAKERS[kind](
            jax.random.key(0),
            base_dist=non_trainable(Normal(jnp.zeros(size))),
            transformer=RationalQuadraticSpline(knots=knots, interval=INTERVAL),
            flow_layers=layers,
            nn_width=width,
            nn_depth=DEPTH,
        )
        self._log_prob = equinox.filter_jit(lambda flow, z: flow.log_prob(z))
        self._to_base = equinox.filter_jit(
            lambda flow, z: jax.vmap(unwrap(flow).bijection.inverse_and_log_det)(z)
        )
        self._from_base = equinox.filter_jit(
            lambda flow, u: jax.vmap(unwrap(flow).bijection.transform)(u)
        )

    def log_prob(self, z: Tensor) -> Tensor:
        return _torch(self._log_prob(self.flow, jnp.asarray(z.numpy())))

    def to_base(self, z: Tensor) -> tuple[Tensor, Tensor]:
        u, log_determinant = self._to_base(self.flow, jnp.asarray(z.numpy()))
        return _torch(u), _torch(log_determinant)

    def from_base(self, u: Tensor) -> Tensor:
        return _torch(self._from_base(self.flow, jnp.asarray(u.numpy())))

    def train_for(
        self, latents: Tensor, *, seconds: float, batch: int, rate: Callable[[float], float]
    ) -> int:
        """Trains for so many seconds of processor time, compiling left out; returns the steps.

        Args:
            latents: `(n, size)` whitened.
            seconds: the budget.
            batch: latents a step.
            rate: the learning rate at a fraction of the budget.
        """
        data = latents.numpy()
        optimiser = optax.chain(
            optax.clip_by_global_norm(CLIP),
            optax.inject_hyperparams(optax.adamw)(learning_rate=1.0, b1=0.9, b2=0.98),
        )
        parameters, static = equinox.partition(
            self.flow, equinox.is_inexact_array, is_leaf=lambda x: hasattr(x, "_is_non_trainable")
        )
        state = optimiser.init(parameters)

        @equinox.filter_jit
        def step(parameters, state, z):  # type: ignore[no-untyped-def]
            def loss(parameters):  # type: ignore[no-untyped-def]
                return -unwrap(equinox.combine(parameters, static)).log_prob(z).mean()

            value, gradient = equinox.filter_value_and_grad(loss)(parameters)
            updates, state = optimiser.update(gradient, state, parameters)
            return equinox.apply_updates(parameters, updates), state, value

        step(parameters, state, jnp.asarray(data[:batch]))  # compiles; its result is dropped
        draws, steps = numpy.random.default_rng(0), 0
        order = draws.permutation(len(data))
        started = time.process_time()
        while (fraction := (time.process_time() - started) / seconds) < 1:
            at = steps * batch % (len(data) - batch)
            if at < batch:
                order = draws.permutation(len(data))
            state[1].hyperparams["learning_rate"] = jnp.asarray(rate(fraction))
            z = jnp.asarray(data[order[at : at + batch]])
            parameters, state, value = step(parameters, state, z)
            value.block_until_ready()
            steps += 1
        self.flow = equinox.combine(parameters, static)
        return steps


def _torch(values: jax.Array) -> Tensor:
    return torch.from_numpy(numpy.array(values))
