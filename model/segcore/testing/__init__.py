"""The contract tests of segcore's tables, for whoever adds a row of their own.

    from segcore.testing import check_method, check_system

    def test_my_system_keeps_the_contract() -> None:
        check_system(MySystemConfig())

Each raises an AssertionError that says which promise is broken. This project's own tests run them
over every row.

configs  The contract of every configuration that is a row of a table.
data     The contracts of data sets and of transforms of their samples.
methods  The contract of methods.
samples  Batches of noise, and classes to make them of.
scores   The contracts of losses and metrics.
systems  The contracts of systems and of the dual encoder's encoders.
"""

from segcore.testing.configs import check_config
from segcore.testing.data import check_dataset, check_transform
from segcore.testing.methods import check_method
from segcore.testing.samples import HALFWAY, LANDMARKS, ORGANS, noise
from segcore.testing.scores import check_loss, check_metric
from segcore.testing.systems import check_depth_encoder, check_rgb_encoder, check_system, lacking

__all__ = [
    "HALFWAY",
    "LANDMARKS",
    "ORGANS",
    "check_config",
    "check_dataset",
    "check_depth_encoder",
    "check_loss",
    "check_method",
    "check_metric",
    "check_rgb_encoder",
    "check_system",
    "check_transform",
    "lacking",
    "noise",
]
