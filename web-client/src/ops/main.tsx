import "../styles/tokens.css";
import "../styles/base.css";
import "./ops.css";

import { render } from "preact";

import "../state/preferences"; // applies the color scheme
import { Page } from "./page";
import { start } from "./poll";

const root = document.getElementById("ops");
if (root !== null) {
  render(<Page />, root);
  start();
}
