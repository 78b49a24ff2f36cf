"""Names of metrics and reference levels, as readers expect them."""

__all__ = ["explained", "metric_name"]

_METRICS = {
    "error_top3": "top-3 position error",
    "error_maximum_likelihood": "maximum-likelihood position error",
    "beyond_10_cm": "position errors above 10 cm",
    "beyond_50_cm": "position errors above 50 cm",
    "rmse": "RMSE",
    "test_loss": "test loss",
    "test_perplexity": "test perplexity",
}
_EXPLAINED = {
    "error_top3": "distance from the animal to the mean of the three landmarks that the net ranks first",
    "error_maximum_likelihood": "distance from the animal to the place that explains the net's output best",
    "beyond_10_cm": "share of the positions that are further off",
    "beyond_50_cm": "share of the positions that are further off",
    "rmse": "root of the mean squared error",
    "perplexity": "of how many equally likely words the net would be as unsure",
    "test_perplexity": "of how many equally likely words the net would be as unsure",
}


def metric_name(key: str) -> str:
    """Return a metric's or reference level's name for a reader; keys without one come back as they are.

    Args:
        key: key of a metric, or a level's key, which begins with that of its metric.

    >>> metric_name("error_top3 of a perfect net")
    'top-3 position error of a perfect net'
    """
    metric, *rest = key.split(" ", 1)
    return " ".join((_METRICS.get(metric, metric), *rest))


def explained(key: str) -> str:
    """Return what a metric measures, in a phrase; nothing for one that needs no words.

    Args:
        key: key of a metric.

    >>> explained("rmse"), explained("loss")
    ('root of the mean squared error', '')
    """
    return _EXPLAINED.get(key, "")
