-- Engines that a person chose for one recording; null: those of the settings.
alter table recordings add column transcriber text, add column writer text;
