// JupyterLab runs this file, and then asks the container that it leaves behind for a plugin. Written
// by hand, nothing is built: page.css, which lies beside this file, is put on the page, and the
// plugin brings the view to where Run All Cells has stopped.
(() => {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = new URL("page.css", document.currentScript.src).href;
  document.head.append(link);

  let shared; // what JupyterLab shares with extensions: name → version → how to get the module

  async function makePlugin() {
    const [version] = Object.values(shared["@jupyterlab/notebook"]);
    const { NotebookActions } = (await version.get())();
    const activate = () => {
      NotebookActions.executed.connect((_, { notebook, cell, error }) => {
        // Run All Cells selects the last cell before the first one has run. Cells that the kernel
        // leaves out after an error have none of their own.
        const atEnd = notebook.activeCellIndex === notebook.widgets.length - 1;
        if (error?.errorName && atEnd) {
          bringIntoView(notebook, notebook.widgets.indexOf(cell), error.errorName);
        }
      });
    };
    return { id: "course-look:stop", autoStart: true, activate };
  }

  // Selects a cell that failed, or the answer above a check that found none; the text above it is
  // on the screen too, as far as there is room.
  async function bringIntoView(notebook, failed, name) {
    const cells = notebook.widgets;
    notebook.activeCellIndex = name === "NotAnswered" && failed > 0 ? failed - 1 : failed;
    let text = failed;
    while (text > 0 && cells[text].model.type !== "markdown") text--;
    for (let times = 0; times < 3; times++) {
      // Cells that are drawn on the way change the heights.
      await new Promise((resolve) => setTimeout(resolve, 100));
      cells[text].node.scrollIntoView({ block: "start" });
      cells[failed].node.scrollIntoView({ block: "nearest" });
    }
  }

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB["course-look"] = {
    init: (scope) => void (shared = scope),
    get: async () => {
      const plugin = await makePlugin();
      return () => ({ __esModule: true, default: plugin });
    },
  };
})();
