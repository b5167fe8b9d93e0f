/** Starts the page. */

import { render } from "preact";
import { App } from "./App";
import "./styles/base.css";
import "./styles/form.css";
import "./styles/answer.css";
import "./styles/inspector.css";
import "./parts/parts.css";

const root = document.getElementById("app");
if (root !== null) render(<App />, root);
