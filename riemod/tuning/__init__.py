"""Tuning of units: rate maps over any arena, preferred positions, information, grid scores, modules, and decoding."""

from riemod.tuning.activity_modules import activity_modules
from riemod.tuning.bins import Bins, landmark_bins, nearest_bins, regular_bins
from riemod.tuning.gridness import GridScores, autocorrelograms, grid_scores
from riemod.tuning.likelihood import cross_validated_information, decode
from riemod.tuning.modules import grid_modules
from riemod.tuning.rate_maps import (
    RateMaps,
    ShuffleTest,
    preferred_positions,
    rate_maps,
    shuffle_test,
    spatial_information,
)

__all__ = [
    "Bins",
    "GridScores",
    "RateMaps",
    "ShuffleTest",
    "activity_modules",
    "autocorrelograms",
    "cross_validated_information",
    "decode",
    "grid_modules",
    "grid_scores",
    "landmark_bins",
    "nearest_bins",
    "preferred_positions",
    "rate_maps",
    "regular_bins",
    "shuffle_test",
    "spatial_information",
]
