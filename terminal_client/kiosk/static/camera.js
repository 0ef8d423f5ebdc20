// The browser's own camera, sent to the terminal for as long as it looks.

const RATE = 20, WIDTH = 640, HEIGHT = 480, QUALITY = 0.85, WAITING_BYTES_MAX = 200000;
let open = null;

export function lookThrough(place) {
  if (!place && open) { open.stop(); open = null; }
  if (place && !open) { open = looking(place); }
}

function looking(place) {
  let stopped = false, stream = null, timer = 0;
  const socket = new WebSocket(place);
  const video = document.createElement("video");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [WIDTH, HEIGHT];
  video.muted = true;

  const send = () => {
    if (socket.readyState !== WebSocket.OPEN || socket.bufferedAmount > WAITING_BYTES_MAX) return;
    canvas.getContext("2d").drawImage(video, 0, 0, WIDTH, HEIGHT);
    canvas.toBlob((jpeg) => { if (jpeg && socket.readyState === WebSocket.OPEN) socket.send(jpeg); }, "image/jpeg", QUALITY);
  };
  const start = async () => {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: WIDTH, height: HEIGHT }, audio: false });
    if (stopped) return end();
    video.srcObject = stream;
    await video.play();
    timer = setInterval(send, 1000 / RATE);
  };
  const end = () => {
    clearInterval(timer);
    for (const track of stream?.getTracks() ?? []) track.stop();
    socket.close();
  };
  // Without permission no picture comes, and the terminal says so.
  start().catch(() => {});
  return { stop: () => { stopped = true; end(); } };
}
