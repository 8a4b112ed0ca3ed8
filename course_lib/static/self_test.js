function render({ el }) {
  el.style.display = "none";
  let frame;
  (function begin() {
    const box = el.closest(".course-self-test");
    if (!box) {  // not yet on the page
      frame = requestAnimationFrame(begin);
      return;
    }
    box.dataset.lmSuppressShortcuts = "true";
    for (const answer of box.querySelectorAll(".course-answer"))
      answer.setAttribute("role", "status");
  })();
  return () => cancelAnimationFrame(frame);
}

export default { render };
