"""Circuits: the edge graph, methods that find important edges, and evaluation against random circuits."""

from mechscope.lazy import attach_modules
from mechscope.techniques.circuits._live_edges import live_edges
from mechscope.techniques.circuits.acdc import AcdcRun, acdc
from mechscope.techniques.circuits.circuit import Circuit, load_circuit, save_circuit
from mechscope.techniques.circuits.comparison import Agreement, Comparison, auroc, compare
from mechscope.techniques.circuits.discover import METHODS, Discovery, discover
from mechscope.techniques.circuits.eap import edge_attribution_patching
from mechscope.techniques.circuits.eap_ig import eap_ig_activations, eap_ig_inputs
from mechscope.techniques.circuits.evaluation import Evaluation, evaluate
from mechscope.techniques.circuits.graph import EdgeGraph
from mechscope.techniques.circuits.masked_run import MaskedRun
from mechscope.techniques.circuits.minimality import Minimality, minimality
from mechscope.techniques.circuits.null_circuits import layer_matched_circuit, random_circuit
from mechscope.techniques.circuits.pruning import by_threshold, greedy, top_edges, top_nodes
from mechscope.techniques.circuits.published import PUBLISHED, PublishedCircuit, published_circuit

__getattr__ = attach_modules(__name__, __file__)

__all__ = [
    "METHODS",
    "PUBLISHED",
    "AcdcRun",
    "Agreement",
    "Circuit",
    "Comparison",
    "Discovery",
    "EdgeGraph",
    "Evaluation",
    "MaskedRun",
    "Minimality",
    "PublishedCircuit",
    "acdc",
    "auroc",
    "by_threshold",
    "compare",
    "discover",
    "eap_ig_activations",
    "eap_ig_inputs",
    "edge_attribution_patching",
    "evaluate",
    "greedy",
    "layer_matched_circuit",
    "live_edges",
    "load_circuit",
    "minimality",
    "published_circuit",
    "random_circuit",
    "save_circuit",
    "top_edges",
    "top_nodes",
]
