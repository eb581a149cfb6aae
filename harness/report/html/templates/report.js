"use strict";
(() => {
  const perChunk = Number(document.currentScript.dataset.perChunk);
  const runs = [...document.querySelectorAll(".runs > li")];
  const areas = [...document.querySelectorAll("section.area")];
  const form = document.getElementById("filters");
  const shown = document.getElementById("shown");
  const texts = new Map();
  const chunks = new Map();

  const textOf = (li) => {
    if (!texts.has(li)) texts.set(li, `${li.querySelector(".id").textContent} ${li.querySelector(".body").textContent}`.toLowerCase());
    return texts.get(li);
  };

  // --- sections: stored in compressed chunks, and put into the page when they are opened ---
  const unpack = async (number) => {
    const packed = document.querySelector(`script[data-chunk="${number}"]`).textContent;
    const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  };
  // a timeline that is wider than the screen begins at its first interrupt
  const begin = (body) => {
    const lanes = body.querySelector(".lanes");
    const first = lanes && lanes.querySelector(".ev, .mark");
    if (!first || "begun" in lanes.dataset) return;
    lanes.dataset.begun = "";
    lanes.scrollLeft += first.getBoundingClientRect().left - lanes.getBoundingClientRect().left - 140;
  };
  const fill = async (li) => {
    const body = li.querySelector(".body");
    if ("whole" in body.dataset) return begin(body);
    textOf(li);
    const number = Number(li.id.slice(4));
    const chunk = Math.floor(number / perChunk);
    try {
      if (!chunks.has(chunk)) chunks.set(chunk, unpack(chunk));
      const section = (await chunks.get(chunk))[number % perChunk];
      if (section) body.innerHTML = section;
      body.dataset.whole = "";
      begin(body);
    } catch (error) {
      const note = document.createElement("p");
      note.className = "reason";
      note.textContent = `This browser cannot show the section: ${error}. The JSON report has its data.`;
      body.append(note);
    }
  };

  // --- filters, and the state of the view in the URL's fragment ---
  const filters = () => {
    const data = new FormData(form);
    return { v: data.getAll("v"), a: data.get("a") || "", t: data.get("t") || "", d: data.get("d") || "", q: (data.get("q") || "").trim() };
  };
  const apply = () => {
    const f = filters();
    const words = f.q.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const li of runs) {
      const fits = (!f.v.length || f.v.includes(li.dataset.v)) && (!f.a || li.dataset.a === f.a) && (!f.t || li.dataset.t === f.t)
        && (!f.d || li.dataset.d === f.d) && words.every((word) => textOf(li).includes(word));
      li.hidden = !fits;
      count += fits;
    }
    for (const area of areas) area.hidden = !area.querySelector("li:not([hidden])");
    shown.textContent = `${count} of ${runs.length} runs are shown.`;
  };
  const nameOf = (li) => `${li.querySelector(".id").textContent}@${li.dataset.t}`;
  const save = () => {
    const f = filters();
    const state = new URLSearchParams();
    if (f.v.length) state.set("v", f.v.join(","));
    for (const name of ["a", "t", "d", "q"]) if (f[name]) state.set(name, f[name]);
    const open = runs.filter((li) => !li.hidden && li.firstElementChild.open).map(nameOf);
    for (const name of open.slice(0, 20)) state.append("run", name);
    history.replaceState(null, "", `#${state}`);
  };
  const show = async (li, move) => {
    li.hidden = false;
    li.closest("section").hidden = false;
    li.firstElementChild.open = true;
    await fill(li);
    if (move) {
      li.scrollIntoView();
      li.querySelector("summary").focus({ preventScroll: true });
    }
  };
  const load = async () => {
    const fragment = location.hash.slice(1);
    const anchor = /^run-\d+$/.test(fragment) && document.getElementById(fragment);
    if (anchor) return show(anchor, true);
    if (fragment && !fragment.includes("=")) return undefined; // an ordinary anchor
    const state = new URLSearchParams(fragment);
    const verdicts = (state.get("v") || "").split(",");
    for (const box of form.querySelectorAll("input[name=v]")) box.checked = verdicts.includes(box.value);
    for (const name of ["a", "t", "d", "q"]) if (form.elements[name]) form.elements[name].value = state.get(name) || "";
    apply();
    const wanted = new Set(state.getAll("run"));
    const found = wanted.size ? runs.filter((li) => wanted.has(nameOf(li))) : [];
    for (const li of found) await show(li, li === found[0]);
    if (fragment && !found.length) document.getElementById("results").scrollIntoView();
    return undefined;
  };

  form.hidden = false;
  document.getElementById("without-script").hidden = true;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => { apply(); save(); });
  form.addEventListener("reset", () => setTimeout(() => { apply(); save(); }));
  document.addEventListener("toggle", (event) => {
    const li = event.target.parentElement;
    if (!li || !li.id.startsWith("run-")) return;
    (event.target.open ? fill(li) : Promise.resolve()).then(save);
  }, true);
  window.addEventListener("hashchange", load);

  // --- the frame of the interrupt that the pointer or the focus is at ---
  const frame = (event) => {
    const at = event.target.closest && event.target.closest(".ev");
    if (!at) return;
    const body = at.closest(".body");
    const row = body.querySelector(`tr[data-seq="${at.dataset.seq}"]`);
    const panel = body.querySelector(".frame-panel");
    for (const old of body.querySelectorAll("tr.here")) old.classList.remove("here");
    const title = document.createElement("p");
    title.textContent = at.querySelector("title").textContent.split("\n")[0];
    panel.replaceChildren(title);
    if (row) {
      row.classList.add("here");
      panel.append(row.querySelector("dl").cloneNode(true));
    }
  };
  document.addEventListener("pointerover", frame);
  document.addEventListener("focusin", frame);
  load();
})();
