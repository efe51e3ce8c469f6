"""How a batching server that batches requests runs them as one padded batch, in the order of their arrival."""

from itertools import islice

from plain_model import PlainModel


def predict_requests(model: PlainModel, requests: list[list[str]]) -> list[list[dict[str, object]]]:
    """requests: the texts of each. One list of answers a request."""
    answers = iter(model.predict([text for texts in requests for text in texts]))
    return [list(islice(answers, len(texts))) for texts in requests]
