"""Which weights stay: schedules, magnitude pruning, masks from geometry, moving and 2:4 ones, tickets."""

from riemod.pruning.dynamic import DynamicSparsePruner
from riemod.pruning.geometric import geometric_mask, geometric_prior
from riemod.pruning.lottery import LotteryTicket, lottery_ticket
from riemod.pruning.magnitude import MagnitudePruner
from riemod.pruning.schedules import ConstantSchedule, CubicSchedule, LinearSchedule, Schedule
from riemod.pruning.semi_structured import semi_structured_mask, semi_structured_weight

__all__ = [
    "ConstantSchedule",
    "CubicSchedule",
    "DynamicSparsePruner",
    "LinearSchedule",
    "LotteryTicket",
    "MagnitudePruner",
    "Schedule",
    "geometric_mask",
    "geometric_prior",
    "lottery_ticket",
    "semi_structured_mask",
    "semi_structured_weight",
]
