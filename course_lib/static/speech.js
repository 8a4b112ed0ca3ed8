function say(element, attributes) {
  for (const [name, value] of Object.entries(attributes))
    if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

function describe(box) {
  for (const label of box.querySelectorAll(".widget-label")) {
    const control = label.parentElement;
    const name = label.textContent.trim();
    const readout = control.querySelector(":scope > .widget-readout")?.textContent.trim() ?? "";
    const handles = [...control.querySelectorAll(".noUi-handle")];
    const [names, values] = handles.length === 2
      ? [[name + ", from", name + ", to"], readout.split(/\s+[–-]\s+/)]
      : [[name], [readout]];
    handles.forEach((handle, index) => {
      say(handle, { "aria-label": names[index] });
      if (values[index]) say(handle, { "aria-valuetext": values[index] });
    });
    if (control.classList.contains("widget-toggle-buttons"))
      say(control, { role: "group", "aria-label": name });
  }
  box.querySelectorAll(".widget-toggle-button").forEach(press);
}

function press(button) {
  say(button, { "aria-pressed": String(button.classList.contains("mod-active")) });
}

function render({ el }) {
  el.style.display = "none";
  let watch, frame;
  (function begin() {
    const box = el.closest(".widget-vbox");
    if (!box) {  // not yet on the page
      frame = requestAnimationFrame(begin);
      return;
    }
    describe(box);
    watch = new MutationObserver(() => describe(box));
    watch.observe(box, {
      subtree: true, childList: true, characterData: true,
      attributeFilter: ["aria-valuetext", "class"],
    });
  })();
  return () => {
    cancelAnimationFrame(frame);
    watch?.disconnect();
  };
}

export default { render };
