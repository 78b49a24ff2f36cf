"""Configurations: every number checked and named, nothing unknown, and the paper's own scale to the digit."""

import dataclasses
import json
import math
from collections.abc import Collection
from typing import Any, get_args

import pytest

from riemod import initialization, manifolds
from riemod.regularization import controls, inhibitors
from riemod.tasks import TASKS, AddingConfig, LanguageConfig, Navigation, NavigationConfig, RunConfig, task_class
from riemod.tasks.config import (
    ArmName,
    Computation,
    InhibitorName,
    InitializationName,
    ManifoldName,
    Masks,
    Optimization,
    PresetName,
    Regularization,
    Training,
)
from riemod.tasks.config.fields import flat_fields, groups_of

CONFIGS = (NavigationConfig, AddingConfig, LanguageConfig)
PRESETS = [(task, preset) for task in TASKS for preset in TASKS[task].presets]


def config(**changes: Any) -> NavigationConfig:
    smoke = Navigation.presets["smoke"]
    assert isinstance(smoke, NavigationConfig)
    return smoke.replace(**changes)


@pytest.mark.parametrize(("task", "preset"), PRESETS)
def test_every_preset_is_valid_and_says_its_own_name(task: str, preset: str):
    values = TASKS[task].presets[preset]
    assert values.preset == preset
    assert {name for name in TASKS[task].presets if name != "steady" and "-" not in name} == {"smoke", "cpu", "paper"}
    # Nothing is pruned until the user says so, and nothing pays by distance except in a map.
    learned = preset.startswith("map-")
    assert (values.regularization.manifold == "none", values.regularization.learn) == (not learned, learned)
    assert (values.masks.sparsity, values.seed) == (0.0, 0)


@pytest.mark.parametrize(("task", "preset"), PRESETS)
def test_a_config_survives_json(task: str, preset: str):
    values = TASKS[task].presets[preset]
    again = type(values).from_dict(json.loads(json.dumps(values.to_dict())))
    assert again == values
    assert type(again) is type(values)


def test_a_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        config().training.epochs = 3  # pyright: ignore[reportAttributeAccessIssue]


def test_unknown_keys_are_an_error():
    with pytest.raises(ValueError, match=r"unknown keys \['learning_rat'\].*learning_rate"):
        NavigationConfig.from_dict(config().to_dict() | {"learning_rat": 0.1})
    with pytest.raises(ValueError, match="landmarks"):
        AddingConfig.from_dict(config().to_dict())


def test_a_missing_key_takes_its_default_or_is_an_error():
    values = config().to_dict()
    for name, flat in flat_fields(NavigationConfig).items():
        without = {other: value for other, value in values.items() if other != name}
        if flat.is_required:
            with pytest.raises(ValueError, match=rf"lacks the keys \['{name}'\]"):
                NavigationConfig.from_dict(without)
        else:
            assert NavigationConfig.from_dict(without).to_dict()[name] == flat.field.default


@pytest.mark.parametrize("kind", CONFIGS)
def test_no_two_numbers_have_one_name(kind: type[RunConfig]):
    groups = groups_of(kind)
    assert set(groups.values()) == {Computation, Masks, Optimization, Regularization, Training}
    own = [field.name for field in dataclasses.fields(kind) if field.name not in groups]
    inner = [field.name for group in groups.values() for field in dataclasses.fields(group)]
    names = list(flat_fields(kind))
    assert sorted(names) == sorted(own + inner)
    assert not set(names) & set(groups)


def test_a_config_is_changed_by_the_names_of_its_numbers():
    changed = config().replace(sparsity=0.5, learning_rate=0.1, side=3.0)
    assert (changed.masks.sparsity, changed.optimization.learning_rate, changed.side) == (0.5, 0.1, 3.0)
    assert changed.to_dict() == config().to_dict() | {"sparsity": 0.5, "learning_rate": 0.1, "side": 3.0}
    assert config().masks.sparsity == 0.0
    with pytest.raises(ValueError, match=r"unknown keys \['masks'\]"):
        config().replace(masks=Masks(sparsity=0.5))


def test_a_key_of_an_older_name_is_read_and_not_written():
    old = config(max_grad_norm=0.5).to_dict()
    old["clip"] = old.pop("max_grad_norm")
    assert NavigationConfig.from_dict(old) == config(max_grad_norm=0.5)
    with pytest.raises(ValueError, match=r"unknown keys \['clip'\]"):
        NavigationConfig.from_dict(old | {"max_grad_norm": 0.25})
    with pytest.raises(ValueError, match=r"unknown keys \['clip'\]"):
        config().replace(clip=0.5)


@pytest.mark.parametrize(
    ("literal", "registry"),
    [
        (ManifoldName, ("none", *manifolds.NAMES)),
        (InhibitorName, inhibitors.BY_NAME),
        (ArmName, controls.ARMS),
        (InitializationName, initialization.BY_NAME),
    ],
)
def test_the_names_that_a_config_takes_are_those_of_the_registry(literal: object, registry: Collection[str]):
    assert set(get_args(literal)) == set(registry)


def test_the_presets_that_a_config_takes_are_those_of_the_tasks():
    assert set(get_args(PresetName)) == {preset for task in TASKS.values() for preset in task.presets}


def test_a_run_may_differ_from_its_record_in_where_it_is_computed_alone():
    free = {"device", "threads", "cuda_graph", "tensorboard", "preset"}
    assert NavigationConfig.names_that_may_differ("recorded") == free
    assert LanguageConfig.names_that_may_differ("recorded") == free | {"data"}


def test_what_a_resumed_run_and_replicas_may_differ_in():
    free = {"device", "threads", "cuda_graph", "tensorboard", "evaluation_batches"}
    assert NavigationConfig.names_that_may_differ("resumed") == free
    assert LanguageConfig.names_that_may_differ("resumed") == free | {"data"}
    common = set(flat_fields(RunConfig)) - RunConfig.names_that_may_differ("replicas")
    assert common == {
        *(
            "preset",
            "device",
            "cuda_graph",
            "matmul",
            "epochs",
            "batches_per_epoch",
            "batch_size",
            "tail_epochs",
            "evidence",
        ),
        *(field.name for field in dataclasses.fields(Optimization)),
    }
    for kind in CONFIGS:
        own = {name for name, flat in flat_fields(kind).items() if name not in flat_fields(RunConfig)}
        assert not own & kind.names_that_may_differ("replicas")


BAD_VALUES = [
    ("preset", "tiny"),
    ("epochs", 0),
    ("batches_per_epoch", 0),
    ("batch_size", -1),
    ("evaluation_batches", 0),
    ("threads", 0),
    ("seed", -1),
    ("learning_rate", 0.0),
    ("learning_rate", math.nan),
    ("learning_rate", math.inf),
    ("learning_rate_decay", "step"),
    ("anneal_factor", 1.0),
    ("anneal_factor", math.nan),
    ("warmup_steps", -1),
    ("optimizer", "lion"),
    ("embedding_learning_rate", -1e-3),
    ("weight_decay", -0.1),
    ("weight_decay", math.nan),
    ("max_grad_norm", 0.0),
    ("max_grad_norm", math.nan),
    ("manifold", "mobius"),
    ("inhibitor", "mexican"),
    ("strength", -1.0),
    ("strength", math.nan),
    ("strength", math.inf),
    ("reduction", "max"),
    ("power", 0.5),
    ("power", math.nan),
    ("power", math.inf),
    ("learn", True),
    ("arm", "l2"),
    ("law", "mexican"),
    ("law", "signed"),
    ("arm", "shuffled"),
    ("proximal", True),
    ("sparsity", -0.1),
    ("sparsity", 1.1),
    ("sparsity", math.nan),
    ("schedule", "exponential"),
    ("dense_epochs", -1),
    ("tail_epochs", -1),
    ("tail_epochs", 6),
    ("scope", "layer"),
    ("blocks", -1),
    ("block_order", "hilbert"),
    ("block_order", "random"),
    ("pruning", "lottery"),
    ("targets", "some"),
    ("temperature", -1.0),
    ("temperature", math.nan),
    ("temperature", math.inf),
    ("update_every", 0),
    ("drop_fraction", 0.0),
    ("drop_fraction", 1.1),
    ("hidden_size", 0),
    ("steps", 0),
    ("side", 0.0),
    ("side", math.inf),
    ("width", math.nan),
    ("step_seconds", -0.02),
    ("turn_std", -1.0),
    ("turn_std", math.nan),
    ("speed_scale", 0.0),
    ("border", math.inf),
    ("border_slowdown", -0.25),
]


@pytest.mark.parametrize(("name", "value"), BAD_VALUES)
def test_a_value_out_of_range_is_named(name: str, value: object):
    with pytest.raises(ValueError, match=rf"^{name}\b|got .*{name}="):
        config(**{name: value})


def test_arms_and_the_proximal_step_need_what_they_need():
    assert config(manifold="torus", arm="shuffled", proximal=True).regularization.arm == "shuffled"
    with pytest.raises(ValueError, match=r"learn needs arm='moduli', .* got arm='none'"):
        config(manifold="torus", arm="none", learn=True)
    with pytest.raises(ValueError, match=r"proximal needs power=1, got power=2\.0"):
        config(manifold="torus", proximal=True, power=2.0)
    with pytest.raises(TypeError, match="proximal must be of type bool"):
        config(manifold="torus", proximal=1)


def test_a_signed_law_comes_from_the_manifold():
    assert config(manifold="torus", law="signed").regularization.law == "signed"
    with pytest.raises(ValueError, match=r"inhibitor must be left at its default with law='signed'.*, got 'ricker'"):
        config(manifold="torus", law="signed", inhibitor="ricker")
    old = {name: value for name, value in config(manifold="torus").to_dict().items() if name != "law"}
    assert NavigationConfig.from_dict(old) == config(manifold="torus", law="unsigned")


def test_blocks_need_neurons_in_an_order():
    assert config(blocks=8, manifold="torus").masks.block_order == "geometric"
    assert config(blocks=8, block_order="index").regularization.manifold == "none"
    with pytest.raises(ValueError, match=r"block_order='geometric' needs a manifold, got manifold='none'"):
        config(blocks=8)
    with pytest.raises(ValueError, match=r"block_order='index' needs blocks, got blocks=0"):
        config(block_order="index")
    with pytest.raises(TypeError, match="blocks must be of type int"):
        config(blocks=8.0)
    old = {name: value for name, value in config().to_dict().items() if name not in ("blocks", "block_order")}
    assert NavigationConfig.from_dict(old) == config()


def test_a_config_from_before_arms_is_the_geometric_one():
    old = {name: value for name, value in config(manifold="torus").to_dict().items() if name not in ("arm", "proximal")}
    assert NavigationConfig.from_dict(old) == config(manifold="torus", arm="moduli", proximal=False)


def test_dense_and_tail_epochs_must_leave_some_for_pruning():
    assert config(epochs=6, dense_epochs=3, tail_epochs=2).training.epochs == 6
    with pytest.raises(ValueError, match=r"dense_epochs and tail_epochs .* epochs=6 .* dense_epochs=3, tail_epochs=3"):
        config(epochs=6, dense_epochs=3, tail_epochs=3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 6.0),
        ("epochs", "6"),
        ("epochs", True),
        ("seed", None),
        ("threads", 1.5),
        ("learning_rate", "1e-3"),
        ("max_grad_norm", "none"),
        ("learn", "False"),
        ("learn", 1),
        ("device", None),
        ("landmarks", 64.5),
        ("side", [2.2]),
    ],
)
def test_a_value_of_another_type_is_named(name: str, value: object):
    with pytest.raises(TypeError, match=rf"^{name} must be of type"):
        config(**{name: value})


def test_whole_numbers_will_do_where_a_fraction_may_stand():
    assert config(sparsity=1, strength=0, max_grad_norm=None, threads=2) == config(
        sparsity=1.0, strength=0.0, threads=2
    )


def test_an_unknown_task_is_named():
    with pytest.raises(ValueError, match="task must be 'navigation', 'adding' or 'language', got 'subtracting'"):
        task_class("subtracting")


@pytest.mark.parametrize("device", ["nonsense", "cuda:99", ""])
def test_a_device_that_is_not_here_is_named(device: str):
    with pytest.raises(ValueError, match=rf"device must .*, got {device!r}"):
        Navigation(config(device=device))


def test_landmarks_too_few_or_too_narrow_are_named():
    with pytest.raises(ValueError, match="landmarks must be an integer >= 4, got 3"):
        Navigation(config(landmarks=3, width=2.0))
    with pytest.raises(ValueError, match="width must be at least"):
        Navigation(config(landmarks=16, width=0.1))


def test_the_paper_preset_of_navigation_is_the_reference_s_table():
    paper = TASKS["navigation"].presets["paper"]
    expected = {
        "hidden_size": 4096,
        "landmarks": 512,
        "width": 0.12,
        "side": 2.2,
        "step_seconds": 0.02,
        "turn_std": 11.52,
        "border": 0.03,
        "border_slowdown": 0.25,
        "batch_size": 200,
        "steps": 50,
        "epochs": 30,
        "batches_per_epoch": 1000,
        "learning_rate": 1e-4,
        "learning_rate_decay": "none",
        "strength": 0.1,
        "reduction": "mean",
        "power": 1.0,
        "inhibitor": "dog",
        "schedule": "linear",
        "scope": "global",
        "dense_epochs": 0,
        "tail_epochs": 0,
    }
    assert {name: paper.to_dict()[name] for name in expected} == expected
    assert isinstance(paper, NavigationConfig)
    assert round(paper.speed_scale, 3) == 0.817


def test_the_paper_preset_of_adding_is_the_reference_s_table():
    paper = TASKS["adding"].presets["paper"]
    expected = {
        # 100 epochs, then 10 at the final mask.
        "epochs": 110,
        "tail_epochs": 10,
        "dense_epochs": 0,
        "batches_per_epoch": 313,
        "batch_size": 32,
        "strength": 1e-3,
        "reduction": "mean",
        "schedule": "linear",
        "scope": "global",
    }
    assert {name: paper.to_dict()[name] for name in expected} == expected
