"""The settings of S3-Net and its presets."""

from __future__ import annotations

from typing import Any

import pytest

from medcontext.errors import InputError
from medcontext.methods import make_config, make_method, names, preset_names, pretraining_names
from medcontext.methods.s3net.config import S3NetConfig


def test_presets_by_name() -> None:
    assert preset_names("s3net") == ["default", "scan", "repo"]
    assert make_config("s3net") == S3NetConfig()
    assert make_method("s3net", make_config("s3net")).name == "s3net"
    assert "s3net" not in names() + pretraining_names()  # it leaves no model
    with pytest.raises(InputError, match=r"has no preset 'paper'.*default, scan, repo"):
        make_config("s3net", "paper")


def test_the_repo_preset_has_the_numbers_of_the_notebook() -> None:
    config: Any = make_config("s3net", "repo")
    assert (config.size, config.square, config.channels, config.clusters, config.blocks) == (
        256,
        True,
        64,
        64,
        2,
    )
    assert (config.w_self, config.w_affine, config.w_spatial) == (3.5, 0.2, 4.0)
    assert (config.deformation, config.transform, config.spatial) == ("static", "output", "sobel_labels")
    assert (config.most_iterations, config.least_clusters, config.bn_eval) == (50, 3, False)
    rule = config.engine.optimiser
    assert (rule.name, rule.learning_rate, rule.momentum, rule.nesterov) == ("sgd", 0.2, 0.9, False)
    assert (rule.weight_decay, rule.schedule, rule.warmup) == (0, "constant", 0)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (["deformation=static"], "one image size"),
        (["least_iterations=60"], "not be more than most_iterations"),
        (["w_self=0", "w_affine=0"], "no clusters to learn"),
        (["clusters=1"], "greater than or equal to 2"),
        (["size=4"], "greater than or equal to 16"),
        (["size_3d=97"], "less than or equal to 96"),
        (["deformation=on"], "static"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: list[str], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        S3NetConfig().updated(settings)
