const ARROWS = {
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1],
};
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

function make(tag, name, parent, attributes = {}) {
  const element = document.createElement(tag);
  element.className = name;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent.append(element);
  return element;
}

function render({ model, el }) {
  const root = make("div", "pad-root", el);
  const label = make("div", "pad-label", root);
  const view = make("div", "pad-view", root, {
    role: "application", tabindex: 0, "data-lm-suppress-shortcuts": "true",
    "aria-roledescription": "two-dimensional slider",
  });
  const map = make("img", "pad-map", view, { draggable: false, alt: "" });
  const dot = make("div", "pad-dot", view);
  const spoken = make("div", "pad-spoken", root, { "aria-live": "polite" });
  let held = false;

  const ends = () => [model.get("min"), model.get("max")];

  function draw() {
    const [low, high] = ends();
    const [x, y] = model.get("value").map((number) => (number - low) / (high - low));
    dot.style.left = 100 * x + "%";
    dot.style.top = 100 * (1 - y) + "%";
    const numbers = model.get("value").map((number) => number.toFixed(2)).join(", ");
    label.textContent = `${model.get("description")}: ${numbers}`;
    view.setAttribute("aria-label", label.textContent);
    if (!held) spoken.textContent = numbers;
  }

  function move(x, y, now) {
    model.set("value", [clamp(x, ...ends()), clamp(y, ...ends())]);
    if (now) model.save_changes();
  }

  let source;
  function load() {
    if (source) URL.revokeObjectURL(source);
    source = URL.createObjectURL(new Blob([model.get("background")], { type: "image/png" }));
    map.src = source;
  }

  view.onpointerdown = (event) => {
    if (event.button) return;
    event.preventDefault();
    view.setPointerCapture(event.pointerId);
    view.focus({ preventScroll: true });
    held = true;
    view.onpointermove(event);
  };
  view.onpointermove = (event) => {
    if (!held) return;
    const box = view.getBoundingClientRect();
    const [low, high] = ends();
    move(
      low + (high - low) * (event.clientX - box.left) / box.width,
      high - (high - low) * (event.clientY - box.top) / box.height,
      model.get("continuous_update"),
    );
  };
  view.onpointerup = view.onpointercancel = () => {
    held = false;
    draw();
    model.save_changes();
  };
  view.onkeydown = (event) => {
    const arrow = ARROWS[event.key];
    if (!arrow) return;
    event.preventDefault();
    event.stopPropagation();
    const [low, high] = ends();
    const step = (high - low) * (event.shiftKey ? 0.1 : 0.02);
    const [x, y] = model.get("value");
    move(x + step * arrow[0], y + step * arrow[1], true);
  };

  const handlers = {
    "change:value": draw, "change:description": draw, "change:background": load,
  };
  for (const [event, handler] of Object.entries(handlers)) model.on(event, handler);
  load();
  draw();
  return () => {
    for (const [event, handler] of Object.entries(handlers)) model.off(event, handler);
    URL.revokeObjectURL(source);
  };
}

export default { render };
