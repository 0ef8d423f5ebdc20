// Keeps a part of the page as it is now: told of changes by the server, or asking now and then.

const ASK_MS = 5000;

for (const part of document.querySelectorAll("[data-live]")) {
  let asking = 0;

  const refresh = async () => {
    // What somebody is about to press stays where it is.
    if (part.querySelector("details[open]") || part.contains(document.activeElement)) return;
    const reply = await fetch(part.dataset.live);
    if (reply.redirected) location.reload();
    else if (reply.ok) part.innerHTML = await reply.text();
  };
  const ask = () => { asking ||= setInterval(() => refresh().catch(() => {}), ASK_MS); };
  const listen = () => {
    const changes = new EventSource(part.dataset.changes);
    changes.onopen = () => { clearInterval(asking); asking = 0; };
    changes.onmessage = () => refresh().catch(() => {});
    changes.onerror = () => { ask(); if (changes.readyState === EventSource.CLOSED) setTimeout(listen, 30000); };
  };
  listen();
}
