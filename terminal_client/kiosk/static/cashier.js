// The cashier's side: an amount goes to the customer's screen, and the outcome comes back.

const form = document.getElementById("begin");
const wrong = document.getElementById("wrong");
const state = document.getElementById("state");
const lost = document.getElementById("lost");

const inLanguage = (path) => `${path}?language=${document.documentElement.lang}`;
const post = (path, fields) => fetch(inLanguage(path), {
  method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(fields),
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const reply = await post("payments", Object.fromEntries(new FormData(form))).catch(() => null);
  wrong.hidden = reply?.ok ?? true;
  if (reply?.ok) form.reset();
  else if (reply) wrong.textContent = await reply.text();
  form.elements.amount.focus();
});

state.addEventListener("click", (event) => {
  if (event.target.closest("[data-cancel]")) post("cancel", {}).catch(() => {});
});

const events = new EventSource(inLanguage("events"));
events.addEventListener("view", (event) => { lost.hidden = true; state.innerHTML = JSON.parse(event.data).html; });
events.onopen = () => { lost.hidden = true; };
events.onerror = () => { lost.hidden = false; };
