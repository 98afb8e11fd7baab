// page: everything drawn once, and again when the target, the theme or the width changes
const drawAll = () => {
  document.querySelectorAll(".of").forEach((box) => { box.hidden = Number(box.dataset.of) !== chosen; });
  drawTable(); drawTabs(); drawMap(); drawSide(); paintGraph(); showView();
  SECTIONS.forEach((draw) => draw());
  if (current !== null) openLayer(current);
};
const themed = () => { RAMP = ramp(); drawAll(); };
const dark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
$("theme").addEventListener("click", () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; themed(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", themed);
addEventListener("beforeprint", themed);
addEventListener("afterprint", themed);
$("target")?.addEventListener("change", (e) => { chosen = Number(e.target.value); drawAll(); goTo(worstNode()); });
$("filter").addEventListener("input", drawTable);
let waiting = 0;
addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => { drawMap(); showView(); SECTIONS.forEach((draw) => draw()); }, 120); });
document.querySelectorAll(".open").forEach((button) => button.addEventListener("click", () => openLayer(Number(button.dataset.layer), button)));
document.querySelectorAll(".code .copy").forEach((button) => wireCopy(button, () => button.parentElement.querySelector("pre").textContent));
buildGraph();
wireGraph();
drawAll();
goTo(worstNode());
document.documentElement.dataset.ready = "yes";
