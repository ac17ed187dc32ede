import { render } from "preact";
import { App } from "./app.tsx";
import "./style/base.css";
import "./style/fleet.css";
import "./style/machine.css";
import "./style/dialog.css";

const root = document.getElementById("dashboard");
if (root !== null) render(<App />, root);
