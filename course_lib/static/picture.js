function render({ model, el }) {
  const image = document.createElement("img");
  image.style = "max-width: 100%; height: auto; display: block;";
  el.append(image);
  let loads = 0;
  async function load() {
    const ticket = ++loads;
    const source = URL.createObjectURL(new Blob([model.get("png")], { type: "image/png" }));
    const fresh = Object.assign(new Image(), { src: source });
    await fresh.decode().catch(() => {});
    if (ticket === loads) {
      Object.assign(image, { src: source, alt: model.get("alt"), width: model.get("width") });
      image.className = model.get("is_chart") ? "course-chart" : "";
    }
    await image.decode().catch(() => {});
    URL.revokeObjectURL(source);
  }
  model.on("change:png", load);
  load();
  return () => model.off("change:png", load);
}

export default { render };
