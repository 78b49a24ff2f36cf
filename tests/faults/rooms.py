"""The rooms whose public callables are given bad arguments, and the names among them that are not."""

from riemod import (
    alignment,
    coactivity,
    dynamics,
    evidence,
    initialization,
    inspection,
    manifolds,
    masks,
    optim,
    plotting,
    pruning,
    regularization,
    sparse,
    suites,
    tasks,
    topology,
    training,
    tuning,
)
from riemod.regularization import controls, inhibitors

ROOMS = {
    "alignment": alignment,
    "coactivity": coactivity,
    "dynamics": dynamics,
    "evidence": evidence,
    "initialization": initialization,
    "inspection": inspection,
    "manifolds": manifolds,
    "masks": masks,
    "optim": optim,
    "plotting": plotting,
    "pruning": pruning,
    "regularization": regularization,
    "regularization.controls": controls,
    "regularization.inhibitors": inhibitors,
    "sparse": sparse,
    "suites": suites,
    "tasks": tasks,
    "topology": topology,
    "topology.nulls": topology.nulls,
    "training": training,
    "tuning": tuning,
}

_ABSTRACT = "an abstract base: its subclasses are attacked"
_ALIAS = "a type of another library, or an alias of one"
_RESULT = "a result, which its function makes"
_DECLARED = "made by `load_suite`, which checks the declaration"
_METHOD = "attacked in `methods.py`"
# Public names that are not attacked, each with the reason.
LEFT_OUT = {
    "alignment.Isometry": _RESULT,
    "evidence.Gathered": _ABSTRACT,
    "evidence.Source": _ABSTRACT,
    "initialization.Initializer": _ALIAS,
    "initialization.seeded_draws": _METHOD,
    "inspection.Coordinates": _RESULT,
    "inspection.Sample": _RESULT,
    "inspection.analyze_run": _METHOD,
    "inspection.draw_states": _METHOD,
    "manifolds.Manifold": _ABSTRACT,
    "masks.MaskHandle": _RESULT,
    "optim.PointAdam": "geoopt's optimizer, whose checks are geoopt's",
    "plotting.Axes": _ALIAS,
    "plotting.Curve": "plain data, checked by `plot_bands`",
    "plotting.Dots": "plain data, checked by `plot_intervals`",
    "pruning.Schedule": _ABSTRACT,
    "pruning.lottery_ticket": _METHOD,
    "regularization.inhibitors.Inhibitor": _ABSTRACT,
    "regularization.inhibitors.CostLaw": _ABSTRACT,
    "sparse.StoredMatrix": _ABSTRACT,
    "suites.Loss": _DECLARED,
    "suites.PlannedRun": _DECLARED,
    "suites.Suite": _DECLARED,
    "suites.Ticket": _DECLARED,
    "tasks.AddingConfig": _METHOD,
    "tasks.Language": "it reads a corpus, which is attacked among the files",
    "tasks.LanguageConfig": _METHOD,
    "tasks.NavigationConfig": _METHOD,
    "tasks.RunConfig": _ABSTRACT,
    "tasks.Task": _ABSTRACT,
    "training.Run": _RESULT,
    "training.Stream": "an enumeration",
    "training.environment": "it takes no arguments",
}
