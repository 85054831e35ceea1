// The page of a published circuit: its graph.

import { renderCircuitGraph } from "./circuit_graph.js";

const section = document.querySelector("[data-published]");
const { label, edges, notes } = JSON.parse(section.querySelector("script").textContent);
renderCircuitGraph(section.querySelector("[data-part=graph]"), { label, edges, notes });
section.removeAttribute("aria-busy");
