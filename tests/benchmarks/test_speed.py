"""The harness of the speed benchmarks, on rows that take no time, and that both sides of a row compute the same."""

import json

import pytest
import torch

from benchmarks.speed import harness, latency, penalty, signed, sparse
from benchmarks.speed.__main__ import ROWS
from benchmarks.speed.harness import Result, Spread, compare, compare_several, save, show
from benchmarks.speed.roofline import functions
from riemod.manifolds import KleinBottle, PoincareBall, Sphere, Torus


def test_both_sides_take_turns_and_the_ratio_is_of_medians(tmp_path, capsys, monkeypatch):
    turns = []
    # Seconds that the clock shows, with an outlier on each side; the means would give another ratio.
    shown = iter([2.0, 20.0, 2.0, 20.0, 9.0, 20.0, 2.0, 20.0, 2.0, 80.0])

    def timed(run):
        run()
        return next(shown)

    monkeypatch.setattr(harness, "timed", timed)
    ours, baseline = (lambda name=name: turns.append(name) for name in ("ours", "baseline"))
    result = compare("sleep", ours, baseline, 0.5, "sleep", rounds=5)
    assert turns == ["ours", "baseline"] * 7
    assert result.value == pytest.approx(0.1)
    assert result.met
    assert result.spread == Spread.of([0.1, 0.1, 0.45, 0.1, 0.025])
    save(result, tmp_path / "records")
    record = json.loads((tmp_path / "records" / "sleep.json").read_text())
    assert (record["name"], record["unit"], record["target"], record["met"]) == ("sleep", "x", 0.5, True)
    assert record["seconds"]["ours"]["median"] == 2.0
    assert record["machine"]["threads"] == torch.get_num_threads()
    show([result, Result("size", 70.0, "MiB", 64.0, "memory")])
    printed = capsys.readouterr().out
    assert "sleep" in printed
    assert "NO" in printed


def test_several_share_one_turn_of_the_baseline(monkeypatch):
    turns = []
    seconds = {"one": 1.0, "two": 2.0, "baseline": 4.0}

    def timed(run):
        return seconds[run()]

    monkeypatch.setattr(harness, "timed", timed)
    sides = {name: lambda name=name: turns.append(name) or name for name in seconds}
    baseline = sides.pop("baseline")
    results = compare_several(sides, baseline, {"one": 0.3, "two": 0.3}, "base", rounds=3)
    assert turns == ["one", "two", "baseline"] * 5
    assert {name: (result.value, result.met) for name, result in results.items()} == {
        "one": (0.25, True),
        "two": (0.5, False),
    }


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:nothing was compressed:UserWarning")
def test_the_sparse_rows_compute_what_the_pruned_layer_computes(monkeypatch):
    monkeypatch.setattr(sparse, "NEURONS", 128)
    for cached in (sparse.pruned_layer, sparse.compressed_layer):
        cached.cache_clear()
    x = torch.randn(sparse.STEPS, 4, 2)
    for kind, share in (("blocks-90", 0.9), ("single-98", 0.98)):
        layer = sparse.pruned_layer(kind)
        zeros = (layer.weight_hh_l0 == 0).float().mean()
        assert share - 32 * 32 / 128**2 <= zeros <= share + 1e-3
        torch.testing.assert_close(sparse.compressed_layer(kind, 4)(x)[0], layer(x)[0], rtol=1e-4, atol=1e-5)
    for cached in (sparse.pruned_layer, sparse.compressed_layer):
        cached.cache_clear()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", latency.KINDS)
def test_the_loops_compute_what_torch_s_layers_compute(kind):
    dense = latency.KINDS[kind](2, 16)
    x = torch.randn(4, 3, 2)
    loop = latency.LOOPS[latency.KINDS[kind]](dense)
    torch.testing.assert_close(loop(x), dense(x)[0])
    torch.testing.assert_close(torch.jit.script(loop)(x), dense(x)[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_row_of_latency_has_all_sides(monkeypatch):
    monkeypatch.setattr(latency, "_ROUNDS", 2)
    row = latency.latency("lstm", 64, "batch8", 2)
    assert {"dense", "TorchScript", "single 90 %", "blocks 98 %"} <= set(row.notes)
    assert row.value == row.notes["single 90 %"]["ratio"]


def test_quartiles():
    assert Spread.of([4.0, 1.0, 2.0, 3.0, 5.0]) == Spread(2.0, 3.0, 4.0)


def test_every_row_has_its_name():
    assert {"penalty-torus", "penalty-klein", "penalty-memory", "penalty-growth"} <= set(ROWS)
    assert {"penalty-signed-learned-512", "penalty-signed-fixed-4096", "penalty-signed-pair-fixed-4096"} <= set(ROWS)
    assert {"sparse-blocks-90-batch200", "sparse-single-90-batch32", "sparse-disk-98"} <= set(ROWS)


@pytest.mark.parametrize("baseline", ["broadcast", "geoopt"])
def test_the_baselines_compute_what_riemod_computes(baseline):
    manifold = Torus(2) if baseline == "broadcast" else PoincareBall(2)
    weight, points = penalty.operands(manifold, 40)
    other = penalty.broadcast(weight, points, 10.0) if baseline == "broadcast" else penalty.by_geoopt(weight, points)
    penalty.ours(weight, points, manifold)()
    expected = weight.grad.clone()
    other()
    # geoopt's distance of a point to itself has no gradient, so points are left out.
    off_diagonal = ~torch.eye(40, dtype=torch.bool)
    torch.testing.assert_close(weight.grad[off_diagonal], expected[off_diagonal], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("law", [signed.HAT, signed.PAIR, penalty.LAW])
def test_learned_and_fixed_points_pay_alike_in_the_signed_rows(law):
    weight, points = penalty.operands(Torus(2), 40)
    signed.learned(weight, points, law)()
    moduli = signed.regularizer(weight, points, law)
    moduli().backward()
    torch.testing.assert_close(moduli.weights[0].tensor.grad, weight.grad)
    signed.fixed(weight, points, law)()


def test_the_roofline_counts_what_an_entry_needs():
    assert functions(Torus(2), penalty.LAW) == functions(KleinBottle(), penalty.LAW) == {"exp": 2}
    assert functions(Sphere(2), penalty.LAW)["atan2"] == 1


def test_growth_is_the_largest_over_the_smallest():
    result = penalty.growth(rounds=2, sizes=(16, 32))
    entry = result.notes["nanoseconds_per_entry"]
    assert set(entry) == {16, 32}
    assert result.value == max(entry.values()) / min(entry.values())
