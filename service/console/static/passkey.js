// Asks the browser for a passkey, and sends its answer with the form.

for (const form of document.querySelectorAll("form[data-passkey]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const failed = form.querySelector("[role=alert]");
    failed.hidden = true;
    try {
      const headers = { "X-Form-Token": form.elements.form_token?.value ?? "" };
      const reply = await fetch(form.dataset.options, { method: "POST", headers });
      if (!reply.ok) throw new Error(reply.statusText);
      form.elements.answer.value = JSON.stringify(await ask(form.dataset.passkey, await reply.json()));
      form.submit();
    } catch {
      failed.hidden = false;
    }
  });
}

async function ask(what, options) {
  if (what === "create") {
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
    return (await navigator.credentials.create({ publicKey })).toJSON();
  }
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  return (await navigator.credentials.get({ publicKey })).toJSON();
}
