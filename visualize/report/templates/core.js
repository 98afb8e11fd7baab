// core: the data, elements made of text and never of markup, numbers as people read them, colours
const D = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const LOSSLESS = 999;
let chosen = 0; // which target the page shows
const SECTIONS = []; // what else is drawn with the page, and again where its width changes

const el = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  return fill(made, attributes, children);
};
const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
const fill = (made, attributes, children) => {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((c) => c !== null && c !== undefined));
  return made;
};
// what does not print, and what turns the direction of writing, becomes visible
const safe = (text) => String(text).replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
  (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
// the middle of a long name says least
const brief = (text, most) => { const t = safe(text); return t.length <= most ? t : `${t.slice(0, Math.ceil(most / 2) - 1)}…${t.slice(-Math.floor(most / 2))}`; };
const narrowScreen = () => innerWidth < 600;
const target = () => D.targets[chosen];
const rows = () => target().rows;

const decibel = (v) => (v === null || v === undefined ? "–" : v >= LOSSLESS ? "∞" : v <= -LOSSLESS ? "−∞" : v.toFixed(1));
const percent = (v) => {
  if (v === null || v === undefined) return "–";
  const p = 100 * v;
  return p === 0 ? "0" : p < 0.01 ? "<0.01" : p < 10 ? p.toFixed(2) : p.toFixed(0);
};
const short = (v) => (v === null || v === undefined ? "–" : Math.abs(v) >= 1e5 || (v !== 0 && Math.abs(v) < 1e-3) ? v.toExponential(1) : String(Number(v.toPrecision(3))));

const total = D.macs.reduce((a, b) => a + b, 0) || 1;
const scale = (best, worst) => (v) => (v === null || v === undefined ? null : Math.min(1, Math.max(0, (best - v) / (best - worst))));
const root = (worst) => (v) => (v === null || v === undefined ? null : Math.min(1, Math.sqrt(v / worst)));
const inputs = (r, key, how) => (r.inputs && r.inputs.length ? r.inputs.map((i) => i[key]).filter((v) => v !== null).reduce((a, b) => (a === null ? b : how(a, b)), null) : null);
// each metric: how it is read off a row, printed, and how bad it is from 0 to 1; the same in every run
const METRICS = [
  { key: "iso", title: "isolated", unit: "dB", get: (r) => r.iso, show: decibel, bad: scale(50, 10), ends: "50 … 10 dB" },
  { key: "cum", title: "cumulative", unit: "dB", get: (r) => r.cum, show: decibel, bad: scale(40, 0), ends: "40 … 0 dB" },
  { key: "wdb", title: "weights alone", unit: "dB", get: (r) => r.wdb, show: decibel, bad: scale(50, 10), ends: "50 … 10 dB" },
  { key: "adb", title: "activations alone", unit: "dB", get: (r) => r.adb, show: decibel, bad: scale(50, 10), ends: "50 … 10 dB" },
  { key: "share", title: "noise", unit: "% of all", get: (r) => r.share, show: percent, bad: root(0.3), ends: "0 … 30 %", up: true },
  { key: "sat", title: "saturated", unit: "% of input", get: (r) => r.sat, show: percent, bad: root(0.01), ends: "0 … 1 %", up: true },
  { key: "used", title: "range used", unit: "% of grid", get: (r) => inputs(r, "used", Math.min), show: percent, bad: scale(1, 0), ends: "100 … 0 %" },
  { key: "outlier", title: "outliers", unit: "max / 99.9 %", get: (r) => inputs(r, "outlier", Math.max), show: short, bad: (v) => (v === null ? null : Math.min(1, Math.max(0, Math.log2(v) / 4))), ends: "1 … 16", up: true },
  { key: "spread", title: "channel spread", unit: "max / median", get: (r) => inputs(r, "spread", Math.max), show: short, bad: (v) => (v === null ? null : Math.min(1, Math.max(0, Math.log2(v) / 5))), ends: "1 … 32", up: true },
];

const ramp = () => {
  const style = getComputedStyle(document.documentElement);
  return [0, 1, 2, 3, 4].map((i) => {
    const text = style.getPropertyValue(`--c${i}`).trim();
    return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
  });
};
let RAMP = ramp();
const colour = (bad) => {
  if (bad === null || bad === undefined) return null;
  const at = Math.min(3.999, Math.max(0, bad * 4)), low = Math.floor(at), part = at - low;
  return RAMP[low].map((c, i) => Math.round(c + (RAMP[low + 1][i] - c) * part));
};
const css = (rgb) => `rgb(${rgb.join(",")})`;
const light = (rgb) => (0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]) / 255 > 0.55;
const hole = () => getComputedStyle(document.documentElement).getPropertyValue("--hole").trim();
const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const tip = (text, event) => {
  const box = $("tip");
  if (!text) { box.hidden = true; return; }
  box.textContent = text;
  box.hidden = false;
  const wide = box.offsetWidth, tall = box.offsetHeight;
  box.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - wide - 6))}px`;
  box.style.top = `${Math.max(4, event.clientY + 18 + tall > innerHeight ? event.clientY - tall - 10 : event.clientY + 18)}px`;
};

const copyText = async (text) => {
  try { await navigator.clipboard.writeText(text); return true; } catch { /* a page out of a file may have no clipboard */ }
  const area = el("textarea", { class: "hush", "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  let done = false;
  try { done = document.execCommand("copy"); } finally { area.remove(); }
  return done;
};
const copyButton = (read) => {
  const button = el("button", { type: "button", class: "copy" }, "Copy");
  wireCopy(button, read);
  return button;
};
const wireCopy = (button, read) => button.addEventListener("click", async () => {
  button.textContent = (await copyText(read())) ? "Copied" : "Press Ctrl+C";
  setTimeout(() => { button.textContent = "Copy"; }, 1600);
});
