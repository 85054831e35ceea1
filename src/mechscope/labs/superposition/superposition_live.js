// Start the live figure of step 01.

import { Pentagon } from "./pentagon.js";

window.pentagon = new Pentagon(document.querySelector("[data-live='superposition']"));
