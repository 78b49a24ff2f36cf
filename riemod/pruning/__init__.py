"""Which weights stay: schedules, magnitude pruning, masks and lottery tickets; the proximal step."""

from riemod.pruning.lottery import LotteryTicket, lottery_ticket
from riemod.pruning.magnitude import MagnitudePruner
from riemod.pruning.masks import attach_masks, mask_optimizer_state, masked_parameters
from riemod.pruning.proximal import backward_to_points, proximal_step
from riemod.pruning.schedules import ConstantSchedule, CubicSchedule, LinearSchedule, Schedule

__all__ = [
    "ConstantSchedule",
    "CubicSchedule",
    "LinearSchedule",
    "LotteryTicket",
    "MagnitudePruner",
    "Schedule",
    "attach_masks",
    "backward_to_points",
    "lottery_ticket",
    "mask_optimizer_state",
    "masked_parameters",
    "proximal_step",
]
