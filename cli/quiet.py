"""Keeps the bars and remarks of the training libraries off the terminal: what we have to say there is enough."""

import logging
import warnings


def quiet_libraries() -> None:
    """To be called before the work, by commands that load torch anyway."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
