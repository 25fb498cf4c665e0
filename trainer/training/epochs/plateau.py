"""The learning rate of the schedule plateau, which falls when epochs are no better."""

from trainer.definition.optimisation import ScheduleConfig
from trainer.runs.state import State


def update_rate(state: State, config: ScheduleConfig, *, is_best: bool) -> bool:
    """Return True if the learning rate falls after the epoch that has just ended, and note it in the state.

    Args:
        state: after its epoch was counted.
        config: of the learning rate; nothing happens with another schedule than plateau.
        is_best: the epoch is the best so far.
    """
    if config.schedule != "plateau":
        return False
    if is_best:
        state.lr_epoch = state.epoch
        return False
    if state.epoch - state.lr_epoch < config.plateau_epochs:
        return False
    # The rate that follows has as many epochs to show that it is better.
    state.lr_factor, state.lr_epoch = state.lr_factor * config.step_gamma, state.epoch
    return True
