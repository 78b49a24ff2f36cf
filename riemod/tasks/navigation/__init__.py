"""Navigation: tell where an animal is from its start and its velocities, in a box or on a closed arena."""

from riemod.tasks.navigation.config import NavigationConfig
from riemod.tasks.navigation.model import NavigationModel
from riemod.tasks.navigation.task import Navigation

__all__ = ["Navigation", "NavigationConfig", "NavigationModel"]
