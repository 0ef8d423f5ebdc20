// Shows what the terminal says, and brings it what is pressed. The terminal decides what is shown.

import { lookThrough } from "./camera.js";
import { watchPreview } from "./preview.js";

const stage = document.getElementById("stage");
const flash = document.getElementById("flash");
const lost = document.getElementById("lost");
const root = document.documentElement;
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const SETTLE_MS = 500;
const SPOKEN = "h1, .amount, .payee, .lead, .note, .notes li, .consent p, [data-say]";
// Who comes next finds no other person's choices.
const NOBODY_HERE = ["attract", "door", "offline"];

let number = "";
let speaking = false;
let said = "";
let saying = 0;

const post = (path, fields) => fetch(path, {
  method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(fields),
}).catch(() => {});
const answer = (fields) => post("answer", { number, ...fields });

// What is shown, each text in its own language, once it stood for a moment.
// What was said, or is about to be, is not begun anew with each picture.
function say(shown) {
  const parts = shown.map((part) => [part.textContent.trim(), part.closest("[lang]").lang]);
  const all = parts.map(([text]) => text).join("\n");
  if (!speaking || !all || all === said) return;
  said = all;
  clearTimeout(saying);
  saying = setTimeout(() => {
    speechSynthesis.cancel();
    for (const [text, language] of parts) {
      const spoken = new SpeechSynthesisUtterance(text);
      spoken.lang = language;
      speechSynthesis.speak(spoken);
    }
  }, SETTLE_MS);
}

const sayView = () => say([...stage.querySelectorAll(SPOKEN)]);

function hush() {
  clearTimeout(saying);
  speechSynthesis.cancel();
  said = "";
}

function dress() {
  for (const tool of stage.querySelectorAll("[data-tool]")) {
    if (!tool.hasAttribute("aria-pressed")) continue;
    const on = tool.dataset.tool === "speak" ? speaking : root.dataset.contrast === "more";
    tool.setAttribute("aria-pressed", on);
  }
  const text = stage.querySelector("[data-read]");
  if (text) agreeWhenRead(text);
}

function agreeWhenRead(text) {
  const agree = stage.querySelector("[data-do=agree]");
  const look = () => {
    if (text.scrollTop + text.clientHeight >= text.scrollHeight - 4) agree.disabled = false;
  };
  text.addEventListener("scroll", look);
  look();
}

function show(view) {
  const other = view.number !== number;
  const spokeTo = document.activeElement.closest("[data-language]");
  number = view.number;
  root.lang = view.language;
  stage.dataset.name = view.name;
  stage.innerHTML = view.html;
  if (other && NOBODY_HERE.includes(view.name)) { root.dataset.contrast = ""; speaking = false; }
  dress();
  const kept = !other && spokeTo ? "[data-language][aria-current]" : "[data-focus]";
  (stage.querySelector(kept) || stage.querySelector("h1")).focus({ preventScroll: true });
  if (other) scrollTo(0, 0);
  const looked = ["face", "camera"].includes(view.name) || document.getElementById("preview");
  lookThrough(looked ? document.body.dataset.camera : null);
  watchPreview(document.getElementById("preview"));
  hush();
  sayView();
}

function prompt(told) {
  flash.hidden = !told.colour;
  if (told.colour) flash.style.backgroundColor = `rgb(${told.colour.join(",")})`;
  const instruction = document.getElementById("instruction");
  if (!instruction || !told.text) return;
  if (instruction.textContent !== told.text) instruction.textContent = told.text;
  document.getElementById("ring").setAttribute("stroke-dasharray", `${told.fraction * 100} 100`);
  document.getElementById("arrow").dataset.move = told.move || "";
  say([instruction]);
}

function press(key) {
  const input = stage.querySelector(".pad input");
  if (key === "back") input.value = input.value.slice(0, -1);
  else if (input.value.length < input.maxLength) input.value += key;
  input.focus();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const { language, tool, key, simulate } = button.dataset;
  if (language) post("language", { language });
  else if (key) press(key);
  else if (simulate) {
    post("simulate", { [simulate]: button.value });
    if (simulate === "who") {
      for (const each of document.querySelectorAll("[data-simulate=who]")) each.setAttribute("aria-pressed", each === button);
    }
  } else if (tool === "contrast") {
    root.dataset.contrast = root.dataset.contrast === "more" ? "" : "more";
    dress();
  } else if (tool === "speak") {
    speaking = !speaking;
    dress();
    hush();
    sayView();
  } else if (tool === "print") {
    print();
  } else if (button.dataset.send) {
    answer({ [button.dataset.send]: button.value });
  } else if (button.dataset.do) {
    // Who asks for less motion is not shown flashing colours.
    const wanted = button.dataset.do === "face" && calm.matches ? "calm" : button.dataset.do;
    answer({ do: wanted, ...(button.name && { [button.name]: button.value }) });
  }
});

document.addEventListener("submit", (event) => {
  const form = event.target.closest("[data-answer]");
  if (!form) return;
  event.preventDefault();
  answer({ do: form.dataset.do || "", ...Object.fromEntries(new FormData(form, event.submitter)) });
  form.reset();
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") stage.querySelector("[data-do=leave]")?.click();
});

const events = new EventSource("events");
events.addEventListener("view", (event) => { lost.hidden = true; show(JSON.parse(event.data)); });
events.addEventListener("prompt", (event) => prompt(JSON.parse(event.data)));
events.onopen = () => { lost.hidden = true; };
events.onerror = () => {
  lost.hidden = false;
  flash.hidden = true;
  // A program that was started again has other addresses: this one is over.
  if (events.readyState === EventSource.CLOSED) watchPreview(null);
};
