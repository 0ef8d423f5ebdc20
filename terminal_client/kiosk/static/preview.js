// The camera's newest picture on a canvas. A picture that comes while one is drawn takes its place.

const HEAD_BYTES = 12;
let reading = null;

export function watchPreview(canvas) {
  reading?.abort();
  reading = canvas ? new AbortController() : null;
  if (canvas) read(canvas, reading.signal).catch(() => {});
}

async function read(canvas, signal) {
  const reply = await fetch("preview", { signal });
  if (!reply.ok) return;
  const draw = drawer(canvas);
  const reader = reply.body.getReader();
  let kept = new Uint8Array(0);
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const joined = new Uint8Array(kept.length + value.length);
    joined.set(kept);
    joined.set(value, kept.length);
    kept = joined;
    let newest = null;
    for (;;) {
      if (kept.length < HEAD_BYTES) break;
      const head = new DataView(kept.buffer, kept.byteOffset);
      const length = head.getUint32(0);
      if (kept.length < HEAD_BYTES + length) break;
      const at = Number(head.getBigUint64(4));
      if (length) newest = { at, jpeg: kept.slice(HEAD_BYTES, HEAD_BYTES + length) };
      kept = kept.subarray(HEAD_BYTES + length);
    }
    if (newest) draw(newest);
  }
}

function drawer(canvas) {
  const paint = canvas.getContext("2d", { alpha: false, desynchronized: true });
  let waiting = null;
  let busy = false;

  async function work() {
    busy = true;
    while (waiting) {
      const picture = waiting;
      waiting = null;
      const image = await createImageBitmap(new Blob([picture.jpeg], { type: "image/jpeg" }));
      if (canvas.width !== image.width) canvas.width = image.width;
      if (canvas.height !== image.height) canvas.height = image.height;
      paint.drawImage(image, 0, 0);
      image.close();
      canvas.dataset.at = picture.at;
    }
    busy = false;
  }

  return (picture) => { waiting = picture; if (!busy) work().catch(() => { busy = false; }); };
}
