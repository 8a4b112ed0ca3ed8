const ZOOMS = [["fit", "Fit"], ["1", "1×"], ["2", "2×"], ["4", "4×"]];
const ARROWS = {
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
};
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

function make(tag, name, parent, attributes = {}) {
  const element = document.createElement(tag);
  element.className = "compare-" + name;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent.append(element);
  return element;
}

function render({ model, el }) {
  const root = make("div", "root", el);
  const zooms = make("div", "zooms", root, { role: "group", "aria-label": "Zoom" });
  const head = make("div", "head", root);
  const labels = [make("span", "label", head), make("span", "label", head)];
  const view = make("div", "view", root);
  const after = make("img", "picture", view, { draggable: false });
  const clip = make("div", "clip", view);
  const before = make("img", "picture", clip, { draggable: false });
  const divider = make("div", "divider", view, {
    role: "slider", tabindex: 0, "aria-valuemin": 0, "aria-valuemax": 100,
    "aria-orientation": "horizontal", "data-lm-suppress-shortcuts": "true",
  });
  make("div", "grip", divider);

  let size = [0, 0];  // of the pictures, in their own pixels
  let shown = [0, 0];  // of the view, in CSS pixels
  let scale = 1;
  let pan = [0, 0];  // the pictures' offset in the view, never positive
  let held = null;  // what the pointer holds: "divider", "picture" or nothing
  let last = [0, 0];

  const overflows = () => shown.some((length, i) => size[i] * scale > length + 1);

  function moveDivider(position) {
    model.set("position", clamp(position, 0, 1));
  }

  function drawDivider() {
    const share = 100 * model.get("position");
    const percent = Math.round(share);
    clip.style.width = divider.style.left = share + "%";
    divider.setAttribute("aria-valuenow", percent);
    divider.setAttribute("aria-valuetext", `${percent} % ${model.get("labels")[0]}`);
  }

  function movePicture(dx, dy) {
    pan = [dx, dy].map((d, i) => clamp(pan[i] + d, Math.min(0, shown[i] - size[i] * scale), 0));
    const [x, y] = pan.map(Math.round);
    for (const picture of [before, after])
      picture.style.transform = `translate(${x}px, ${y}px)`;
  }

  function layout() {
    const room = [root.clientWidth, Math.max(240, 0.75 * window.innerHeight)];
    if (!size[0] || !room[0]) return;
    const zoom = model.get("zoom");
    const center = shown.map((length, i) =>
      length ? (length / 2 - pan[i]) / scale : size[i] / 2);
    scale = zoom === "fit" ? Math.min(1, room[0] / size[0], room[1] / size[1]) : Number(zoom);
    shown = size.map((length, i) => Math.round(Math.min(length * scale, room[i])));
    [view.style.width, view.style.height] = shown.map((length) => length + "px");
    head.style.width = Math.max(shown[0], Math.min(room[0], 400)) + "px";
    for (const picture of [before, after]) picture.style.width = size[0] * scale + "px";
    view.classList.toggle("compare-pixels", scale >= 1);
    view.classList.toggle("compare-overflows", overflows());
    pan = center.map((place, i) => shown[i] / 2 - place * scale);
    movePicture(0, 0);
    for (const button of zooms.children)
      button.setAttribute("aria-pressed", button.value === zoom);
    keepHeight();
  }

  // Other pictures and labels never make the widget lower or move the picture up, so that what
  // is looked at stays where it is; another zoom or page width does.
  const tallest = new Map();
  let situation = "";
  function keepHeight() {
    const now = [model.get("zoom"), root.clientWidth].join();
    if (now !== situation) tallest.clear();
    situation = now;
    for (const element of [head, root]) {
      element.style.minHeight = "";
      tallest.set(element, Math.max(tallest.get(element) ?? 0, element.offsetHeight));
      element.style.minHeight = tallest.get(element) + "px";
    }
  }

  function drawLabels() {
    model.get("labels").forEach((text, i) => {
      labels[i].textContent = text;
      [before, after][i].alt = text;
    });
    divider.setAttribute("aria-label", `Divider: ${model.get("labels").join(" | ")}`);
    drawDivider();
    keepHeight();
  }

  let sources = [];
  let loads = 0;
  async function load() {
    const ticket = ++loads;
    const fresh = [model.get("before"), model.get("after")].map((png) =>
      URL.createObjectURL(new Blob([png], { type: "image/png" })));
    const probes = fresh.map((source) => Object.assign(new Image(), { src: source }));
    await Promise.allSettled(probes.map((probe) => probe.decode()));
    const stale = ticket === loads ? sources : fresh;
    if (ticket === loads) {  // both sides change at once, without a flash of nothing
      sources = fresh;
      [before.src, after.src] = fresh;
      size = [probes[0].naturalWidth, probes[0].naturalHeight];
      layout();
    }
    stale.forEach((source) => URL.revokeObjectURL(source));
  }

  for (const [zoom, text] of ZOOMS) {
    const button = make("button", "zoom", zooms, { type: "button", value: zoom });
    button.textContent = text;
    button.onclick = () => { model.set("zoom", zoom); model.save_changes(); };
  }

  const place = (event) => {
    const box = view.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  view.onpointerdown = (event) => {
    if (event.button) return;
    event.preventDefault();
    view.setPointerCapture(event.pointerId);
    last = place(event);
    held = overflows() && !divider.contains(event.target) ? "picture" : "divider";
    divider.focus({ preventScroll: true });
    view.onpointermove(event);
  };
  view.onpointermove = (event) => {
    if (!held) return;
    const now = place(event);
    if (held === "divider") moveDivider(now[0] / shown[0]);
    else movePicture(now[0] - last[0], now[1] - last[1]);
    last = now;
  };
  view.onpointerup = view.onpointercancel = () => {
    held = null;
    model.save_changes();
  };
  divider.onkeydown = (event) => {
    const arrow = ARROWS[event.key];
    const position = model.get("position");
    if (arrow && event.shiftKey) movePicture(-64 * arrow[0], -64 * arrow[1]);
    else if (arrow) moveDivider(position + 0.01 * (arrow[0] - arrow[1]));
    else if (event.key === "PageUp") moveDivider(position + 0.1);
    else if (event.key === "PageDown") moveDivider(position - 0.1);
    else if (event.key === "Home") moveDivider(0);
    else if (event.key === "End") moveDivider(1);
    else return;
    event.preventDefault();
    event.stopPropagation();
    model.save_changes();
  };

  const handlers = {
    "change:before": load, "change:after": load, "change:labels": drawLabels,
    "change:position": drawDivider, "change:zoom": layout,
  };
  for (const [event, handler] of Object.entries(handlers)) model.on(event, handler);
  const observer = new ResizeObserver(layout);
  observer.observe(root);
  drawLabels();
  load();
  return () => {
    observer.disconnect();
    for (const [event, handler] of Object.entries(handlers)) model.off(event, handler);
    loads += 1;
    sources.forEach((source) => URL.revokeObjectURL(source));
  };
}

export default { render };
