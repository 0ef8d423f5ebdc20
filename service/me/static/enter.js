// Takes the code out of the link: after the # it reaches no server, and so no log.

const form = document.querySelector("form[data-code]");
const code = location.hash.slice(1);
if (/^[a-z2-7]{24}$/.test(code)) {
  history.replaceState(null, "", location.pathname);
  form.elements.code.value = code;
  form.querySelector("label").hidden = true;
  form.querySelector("button").focus();
}
