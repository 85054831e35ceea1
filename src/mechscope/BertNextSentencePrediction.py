"""The classic module `BertNextSentencePrediction`, which has the same name as its class."""

from mechscope.model.next_sentence import BertNextSentencePrediction

__all__ = ["BertNextSentencePrediction"]
