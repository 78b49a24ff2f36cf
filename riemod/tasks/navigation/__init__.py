"""Navigation: tell where an animal is from its start and its velocities, in a box or on a closed arena."""

from riemod.tasks.navigation.task import Navigation, NavigationConfig, NavigationModel

__all__ = ["Navigation", "NavigationConfig", "NavigationModel"]
