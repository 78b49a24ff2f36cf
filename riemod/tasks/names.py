"""Names of metrics and reference levels, as readers expect them."""

__all__ = ["metric_name"]

_METRICS = {
    "error_top3": "top-3 position error",
    "error_maximum_likelihood": "maximum-likelihood position error",
    "beyond_10_cm": "position errors above 10 cm",
    "beyond_50_cm": "position errors above 50 cm",
    "rmse": "RMSE",
    "test_loss": "test loss",
    "test_perplexity": "test perplexity",
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
