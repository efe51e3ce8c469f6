"use strict";
/* The page /advisor: reads the form, asks advise() of advice.js, and shows the answer. Nothing is fetched or sent. */

(() => {
  const tables = JSON.parse(document.getElementById("tables").textContent);
  const at = (id) => document.getElementById(id);
  const form = at("situation");

  function situation() {
    const device = at("device").value;
    return {
      task: at("task").value,
      rows: at("rows").valueAsNumber,
      classes: at("classes").valueAsNumber,
      similarity: at("similarity").valueAsNumber,
      backbone: tables.models[at("base").value].backbone,
      tokens: at("tokens").valueAsNumber,
      device,
      cores: at("cores").valueAsNumber,
      time_s: at("minutes").value === "" ? null : at("minutes").valueAsNumber * 60,
      memory_bytes: at("gib").value === "" ? null : at("gib").valueAsNumber * 2 ** 30,
    };
  }

  function show() {
    at("similarity-says").value = hundredths(at("similarity").valueAsNumber);
    choose(at("base").value, at("task").value);
    const wrong = [...form.elements].find((field) => field.willValidate && !field.validity.valid);
    for (const id of ["advice", "costs"]) at(id).hidden = Boolean(wrong);
    at("refused").hidden = !wrong;
    if (wrong) {
      at("refused").textContent = `${wrong.labels[0].textContent.trim()}: ${wrong.validationMessage}`;
      return;
    }
    const asked = situation();
    const advice = advise(asked, tables);
    showVerdict(advice);
    showFigures(advice);
    at("groups").tBodies[0].replaceChildren(...advice.groups.map(groupRow));
    showCosts(asked, advice);
  }

  function showVerdict(advice) {
    const verdict = at("strategy").parentElement;
    verdict.className = `verdict ${advice.fits ? "is-stable" : "is-drift"}`;
    at("strategy").replaceChildren(made("strong", capital(TITLES[advice.strategy])), advice.fits ? "" : " · nothing fits");
    const told = advice.why.join("\n");
    if (at("why").innerText !== told) at("why").replaceChildren(...advice.why.map((one) => made("p", one)));
    at("notes").replaceChildren(...advice.notes.map((one) => made("li", one)));
    at("notes").hidden = advice.notes.length === 0;
  }

  function showFigures(advice) {
    const frozen = advice.frozen_layers.length ? layers(0, advice.frozen_layers.length) : "none";
    const facts = [
      ["Frozen", advice.embeddings_frozen ? `embeddings, ${frozen}` : frozen],
      ...(advice.rank ? [["LoRA", `rank ${advice.rank}, alpha ${advice.alpha}, on ${advice.targets.join(", ")}`]] : []),
      ["Epochs", count(advice.epochs)],
      ["Steps", `${count(advice.total_steps)} of ${advice.batch_rows} rows`],
      ["Warm-up", `${count(advice.warmup_steps)} ${advice.warmup_steps === 1 ? "step" : "steps"}, then ${advice.schedule}`],
      ["Time", duration(advice.seconds)],
      ["Memory", size(advice.bytes)],
    ];
    at("figures").replaceChildren(
      ...facts.map(([name, value]) => {
        const pair = made("div");
        pair.append(made("dt", name), made("dd", value));
        return pair;
      }),
    );
  }

  function groupRow(group) {
    const rate = group.learning_rate ? Number(group.learning_rate.toPrecision(2)).toString() : "frozen";
    const row = made("tr");
    row.append(heading(capital(group.name)), made("td", group.holds), made("td", rate, "n"));
    return row;
  }

  function showCosts(asked, advice) {
    const longest = Math.max(...advice.options.map((one) => one.seconds));
    const known = advice.options.map((one) => costRow(one, advice, one.seconds / longest));
    const others = Object.keys(advice.rejected).filter((name) => !advice.options.some((one) => one.strategy === name));
    const rest = others.map((name) => {
      const row = made("tr");
      row.append(heading(TITLES[name]), cell("", "Time"), cell("–", "Memory", "n"), cell(capital(advice.rejected[name]), "Why not"));
      return row;
    });
    document.querySelector(".costs tbody").replaceChildren(...known, ...rest);
    at("costs-key").textContent = advice.options.every((one) => one.fits)
      ? "Bars are time; all of these fit."
      : "Bars are time; what is dashed does not fit the limits.";
  }

  function costRow(one, advice, share) {
    const chosen = one.strategy === advice.strategy;
    const row = made("tr", "", `${chosen ? "chosen" : ""} ${one.fits ? "" : "over"}`.trim());
    const time = cell("", "Time");
    const bar = made("span", "", "bar");
    bar.style.width = `${100 * share}%`;
    time.append(bar, `${duration(one.seconds)}${one.fits ? "" : ", does not fit"}`);
    const why = chosen ? "advised" : advice.rejected[one.strategy];
    row.append(heading(TITLES[one.strategy]), time, cell(size(one.bytes), "Memory", "n"), cell(capital(why), "Why"));
    return row;
  }

  function choose(model, task) {
    for (const one of document.querySelectorAll(".score")) {
      const here = one.dataset.model === model && one.dataset.task === task;
      one.classList.toggle("here", here);
    }
    const fit = tables.fits[model][task];
    at("reason").textContent = `${model} for ${tables.tasks[task].title.toLowerCase()}: ${fit.score} of 5, ${fit.reason}.`;
  }

  function takeLevel() {
    const level = tables.compute[at("compute").value];
    if (!level) return;
    at("device").value = level.device;
    at("cores").value = level.cores;
    at("minutes").value = level.time_s / 60;
    at("gib").value = level.memory_bytes / 2 ** 30;
  }

  function made(tag, text = "", classes = "") {
    const element = document.createElement(tag);
    element.textContent = text;
    if (classes) element.className = classes;
    return element;
  }

  function heading(text) {
    const element = made("th", text);
    element.scope = "row";
    return element;
  }

  function cell(text, label, classes = "") {
    const element = made("td", text, classes);
    element.dataset.label = label;
    return element;
  }

  const TITLES = { head: "Head alone", partial: "Top layers", lora: "LoRA", full: "Full", scratch: "From scratch" };

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => {
    if (event.target.id === "compute") takeLevel();
    if (["device", "cores", "minutes", "gib"].includes(event.target.id)) at("compute").value = "own";
    if (event.target.id === "task") at("tokens").value = tables.tasks[at("task").value].tokens;
    show();
  });
  for (const one of document.querySelectorAll("[data-similarity]")) {
    one.addEventListener("click", () => {
      at("similarity").value = one.dataset.similarity;
      show();
    });
  }
  for (const one of document.querySelectorAll(".score")) {
    for (const event of ["click", "focus"]) one.addEventListener(event, () => choose(one.dataset.model, one.dataset.task));
  }
  takeLevel();
  show();
})();
