// Reads a code with the camera, where the browser can. The picture does not leave the browser.

const FORMATS = ["qr_code", "data_matrix", "code_128", "ean_13"];
const EVERY_MS = 150;

const INSTEAD =
  "Open your phone\u2019s camera and point it at the code: the link in the code opens this page. Or type what stands below the code.";

/**
 * The text of the first code that is seen; null if the reader gives up.
 * @throws {Error} the browser reads no codes, or there is no camera, in words that say what to do
 */
export async function scan(dialog) {
  if (!("BarcodeDetector" in window)) throw new Error(`This browser reads no codes by itself. ${INSTEAD}`);
  const known = await window.BarcodeDetector.getSupportedFormats();
  const formats = FORMATS.filter((format) => known.includes(format));
  if (formats.length === 0) throw new Error(`This browser reads no codes by itself. ${INSTEAD}`);
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" }, audio: false });
  } catch {
    throw new Error(`The camera cannot be used: there is none, or the browser was told not to. ${INSTEAD}`);
  }
  const video = dialog.querySelector("video");
  try {
    dialog.showModal();
    video.srcObject = stream;
    await video.play();
    return await firstCode(new window.BarcodeDetector({ formats }), video, dialog);
  } finally {
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
    dialog.close();
  }
}

async function firstCode(detector, video, dialog) {
  while (dialog.open) {
    const [code] = await detector.detect(video).catch(() => []);
    if (code?.rawValue) return code.rawValue;
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
  return null;
}
