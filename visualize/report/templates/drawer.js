// drawer: all that is known of one layer
let opener = null, current = null;
const tile = (value, label) => el("div", { class: "tile" }, el("b", {}, value), el("span", {}, label));
const figure = (title, picture, words) => el("figure", {}, el("h3", {}, title), picture, words ? el("figcaption", {}, words) : null);

const openLayer = (i, from) => {
  if (from) opener = from;
  current = i;
  const r = rows()[i] ?? D.targets.map((t) => t.rows[i]).find(Boolean), box = $("drawer");
  if (!r) return;
  const close = el("button", { type: "button", id: "close", "aria-label": "Close" }, "✕");
  close.addEventListener("click", closeDrawer);
  box.replaceChildren(
    el("div", { class: "d-top" }, el("div", {}, el("h2", { id: "d-name", class: "mono" }, safe(D.names[i])), el("p", { class: "d-sub" }, `${safe(D.ops[i])} · ${r.precision} · ${safe(target().name)}`)), close),
    el("div", { class: "tiles" }, tile(dbUnit(r.iso), "isolated, at the outputs"), tile(dbUnit(r.cum), "cumulative, here"), tile(`${percent(r.share)} %`, "of the noise at the outputs"), tile(dbUnit(r.wdb), "weights alone"), tile(dbUnit(r.adb), "activations alone"), tile(`${percent(share(i))} %`, "of all MACs")),
    ...causesOf(r), reasonOf(r), ...picturesOf(r));
  box.hidden = false;
  box.scrollTop = 0;
  close.focus({ preventScroll: true });
};
const dbUnit = (v) => (v === null || v === undefined ? "–" : v >= LOSSLESS ? "lossless" : `${decibel(v)} dB`);

const causesOf = (r) => {
  if (!r.causes.length) return [el("h3", {}, "Why"), el("p", {}, safe(r.because || "This layer was not measured."))];
  return [el("h3", {}, r.causes.length > 1 ? "Likely causes, the strongest first" : "Likely cause"), ...r.causes.slice(0, 4).map((c, at) =>
    el("div", { class: at ? "d-cause more" : "d-cause" }, el("p", {}, el("b", {}, c.title), c.evidence === c.title ? null : `: ${safe(c.evidence)}`, c.remedy ? el("span", {}, " → ", el("code", {}, safe(c.remedy))) : null),
      c.recipe ? el("div", { class: "code" }, copyButton(() => c.recipe), el("pre", { tabindex: 0 }, c.recipe)) : null))];
};
const reasonOf = (r) => (r.because ? el("div", {}, el("h3", {}, "Reason in the plan"), el("p", {}, safe(r.because))) : null);

const picturesOf = (r) => {
  const found = (r.inputs ?? []).map((input) => figure("Input on its grid", histogram(input),
    `${safe(input.tensor)}: values [${short(input.low)}, ${short(input.high)}], grid [${short(input.grid_low)}, ${short(input.grid_high)}]${input.step ? ` in steps of ${short(input.step)}` : ""}. `
    + `${percent(input.used)} % of the range is used; ${percent(input.saturated)} % of the elements saturate and make ${percent(input.saturation_noise)} % of its noise, rounding the rest. `
    + `Largest value divided by the 99.9 % range: ${short(input.outlier)}; range of the widest channel divided by the median channel's: ${short(input.spread)}`
    + `${input.dead ? `; ${input.dead} of ${input.channels} channels never change` : ""}.`));
  if (r.weight) found.push(figure("Weight by output channel", ranges(r.weight),
    `${r.weight.scales} scale${r.weight.scales === 1 ? "" : "s"} for ${r.weight.n} channels. Largest channel divided by the median one: ${short(r.weight.spread)}; largest weight divided by the root mean square of its channel: ${short(r.weight.peak)}${r.weight.dead ? `; channels that are all zero: ${r.weight.dead}` : ""}.`));
  const c = r.channels;
  if (c && c.n > 1) {
    const per = c.n > c.db.length ? `${c.n} channels in ${c.db.length} buckets` : `${c.n} channels`;
    found.push(figure("Error by output channel", bars(c.db, { label: "SQNR of each output channel", unit: "dB", most: 60, bad: METRICS[0].bad, first: "channel 0", last: per, title: (at, v) => `${decibel(v)} dB, ${percent(c.share[at])} % of the noise` }),
      `Measured on float inputs; long bars are good. Most noise: ${c.worst.map(([at, part, db]) => `channel ${at} with ${percent(part)} % (${decibel(db)} dB)`).join(", ")}${c.silent ? `; channels without a signal: ${c.silent}` : ""}.`));
  }
  if (r.img?.length && r.img.some((v) => v !== null)) {
    const least = r.img.reduce((a, v, at) => (v !== null && (a < 0 || v < r.img[a]) ? at : a), -1);
    found.push(figure("Error by image", bars(r.img, { label: "SQNR of each image", unit: "dB", bad: METRICS[0].bad, first: safe(D.images[0] ?? ""), last: `${r.img.length} images`, title: (at, v) => `${safe(D.images[at])}: ${decibel(v)} dB` }),
      `Measured at the outputs with only this layer quantized; long bars are good. Worst: ${safe(D.images[least] ?? "")}, ${decibel(r.img[least])} dB.`));
  }
  return found;
};
const closeDrawer = () => {
  $("drawer").hidden = true;
  current = null;
  if (opener?.isConnected) opener.focus({ preventScroll: true });
};
document.addEventListener("keydown", (e) => { if (e.key === "Escape" && !$("drawer").hidden) closeDrawer(); });
