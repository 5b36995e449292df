// Input and result under the slider of `upscale compare`, in a frame.

import { ask, byId } from "./api.js";

export async function open(job) {
  const address = `/api/jobs/${job.id}/compare`;
  document.body.classList.add("busy");
  try {
    await ask(address); // it is made now, or says why it cannot be
  } finally {
    document.body.classList.remove("busy");
  }
  const [dialog, frame] = ["compare", "frame"].map(byId);
  byId("compare-title").textContent = job.kind === "clip" ? `${job.name}, its middle frame` : job.name;
  const download = byId("compare-download");
  download.href = `/api/jobs/${job.id}/result`;
  download.setAttribute("aria-label", `Download ${job.result_name}`);
  frame.src = address;
  frame.onload = () => {
    const inside = frame.contentDocument;
    if (!inside?.body?.dataset.state) return;
    frame.contentWindow.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !inside.querySelector("dialog[open]")) dialog.close();
    });
    inside.getElementById("stage").focus();
  };
  dialog.onclose = () => { frame.src = "about:blank"; };
  dialog.showModal();
}
