"""Who proposes settings, and who ends bad trials early."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starnet.errors import ConfigError

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

STARTUP = 12
"""Trials drawn at random before the estimator proposes, and never pruned by the median."""
PRUNERS = ("median", "hyperband", "halving", "none")


def build_sampler(seed: int) -> BaseSampler:
    """Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), seeded for each trial.

    Trial k draws from a generator of its own, made of ``seed`` and k. So workers that share a
    study never draw alike, and a study that was interrupted goes on as it would have (with one
    worker; of several, the order in which trials end decides).
    """
    from optuna.samplers import BaseSampler, TPESampler

    class Seeded(BaseSampler):
        """Hands each trial to an estimator with a seed of its own."""

        def __init__(self) -> None:
            self.inner = self._of(0)

        @staticmethod
        def _of(number: int) -> TPESampler:
            mixed = (seed * 1_000_003 + number) % 2**32
            return TPESampler(
                n_startup_trials=STARTUP, multivariate=True, constant_liar=True, seed=mixed
            )

        def before_trial(self, study: Any, trial: Any) -> None:
            self.inner = self._of(trial.number)
            self.inner.before_trial(study, trial)

        def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
            return self.inner.infer_relative_search_space(study, trial)

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
            return self.inner.sample_relative(study, trial, search_space)

        def sample_independent(
            self, study: Any, trial: Any, param_name: str, param_distribution: Any
        ) -> Any:
            return self.inner.sample_independent(study, trial, param_name, param_distribution)

        def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
            self.inner.after_trial(study, trial, state, values)

    return Seeded()


def build_pruner(name: str, steps: int) -> BasePruner:
    """The rule by which trials are ended early, for trials of so many epochs (of all folds).

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    from optuna import pruners

    if name == "median":
        return pruners.MedianPruner(
            n_startup_trials=min(STARTUP, 8), n_warmup_steps=steps // 4, n_min_trials=4
        )
    if name == "hyperband":
        return pruners.HyperbandPruner(min_resource=max(1, steps // 9), max_resource=steps)
    if name == "halving":
        return pruners.SuccessiveHalvingPruner(min_resource=max(1, steps // 9))
    if name == "none":
        return pruners.NopPruner()
    raise ConfigError(f"pruner must be one of {', '.join(PRUNERS)}; received {name!r}.")
